// The end of an entry file: one message and an exit code instead of a stack trace, except for bugs, which show theirs.
// Exit codes: 0 done, 1 failed, 2 wrong settings or usage or Node, 130 stopped on the way.
import { isDocbusError, reasonOf } from '@docbus/core';

/** Runs `main` and sets the exit code: what it returns, 0 for nothing, or what its error means. Call it once, last, in an entry file. */
export async function runMain(main: () => Promise<number | void>): Promise<void> {
  try {
    const code = await main();
    process.exitCode = typeof code === 'number' ? code : 0; // a void function may return anything
  } catch (error) {
    const { code, text } = describeFailure(error);
    // Exits only when the words are out; a handle that the failure left open must not keep the process alive.
    process.stderr.write(text, () => process.exit(code));
  }
}

/** What a failure says and which exit code it has. */
export function describeFailure(error: unknown): { readonly code: number; readonly text: string } {
  if (!isDocbusError(error)) return { code: 1, text: `This is a fault in docbus:\n${stackOf(error)}\n` };
  switch (error.code) {
    case 'config_invalid':
    case 'node_too_old':
      return { code: 2, text: `${reasonOf(error)}\n` };
    case 'aborted':
      return { code: 130, text: '' };
    default:
      return { code: 1, text: `${reasonOf(error)}\n` };
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
