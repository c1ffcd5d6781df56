// npm run demo: three replicas on this machine, from nothing to one knowledge base, and one of them lost and rebuilt.
//   npm run demo                       with docbus' own pages
//   npm run demo -- --documents DIR    with the texts of a directory
//   npm run demo -- --keep             leaves the files for a look afterwards; no process stays in any case
import { DocbusError, reasonOf } from '@docbus/core';
import { runMain, stopSignal } from '@docbus/runtime';
import { parseArgs } from 'node:util';
import { runDemo } from './demo.ts';
import { createScreen } from './screen.ts';

const usage = `usage: npm run demo -- [--documents DIR] [--keep]

Starts three replicas on this machine, each with storage, Chroma and agent, and shows how they become and stay one.

  --documents DIR   the texts to use (default: docbus' own pages)
  --keep            leave the files for a look afterwards; nothing keeps running`;

const signal = stopSignal();
const screen = createScreen(process.stdout);

// Whoever closes the terminal, or reads only the beginning (| head), wants the demo to end as much as whoever presses Ctrl-C.
let left = false;
const leave = (): void => {
  if (!left) process.kill(process.pid, 'SIGTERM');
  left = true;
};
process.on('SIGHUP', leave);
for (const stream of [process.stdout, process.stderr]) stream.on('error', leave);

// Servers and agents do not keep this process alive, and there are moments in which nothing else would.
const alive = setInterval(() => {}, 60_000);

await runMain(async () => {
  try {
    const options = readOptions();
    if (options === undefined) return screen.line(usage);
    return (await runDemo({ ...options, screen, signal })) ? 0 : 1;
  } catch (error) {
    screen.clear();
    if (signal.aborted) {
      screen.line('\nStopped. Everything the demo had started has ended.');
      throw signal.reason;
    }
    // What the tests' servers and we ourselves throw is written for people; anything else is a fault, and runMain shows its stack.
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    process.stderr.write(`\nThe demo failed: ${whyOf(error)}\n`);
    return 1;
  } finally {
    clearInterval(alive);
  }
});

/** A wait that was cut short because its process ended says nothing that the message does not. */
function whyOf(error: Error): string {
  return error.cause instanceof Error && error.cause.name === 'AbortError' ? error.message : reasonOf(error);
}

function readOptions(): { readonly documents: string | undefined; readonly keep: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: { documents: { type: 'string' }, keep: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
    return values.help === true ? undefined : { documents: values.documents, keep: values.keep ?? false };
  } catch (error) {
    throw new DocbusError('config_invalid', `${(error as Error).message}\n\n${usage}`);
  }
}
