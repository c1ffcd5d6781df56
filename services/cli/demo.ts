// docbus demo: the demonstration lives with the tests, whose real servers and stand-in for AnythingLLM it uses.
// Nothing under services/ may import those, so it runs as a process of its own.
import { DocbusError } from '@docbus/core';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from './command.ts';

const program = fileURLToPath(new URL('../../test/demo/main.ts', import.meta.url));

export const command: Command = {
  usage: `usage: docbus demo [--documents DIR] [--keep]

Starts three replicas on this machine, each with storage, Chroma and agent, and shows how they become and stay one.

  --documents DIR   the texts to use (default: docbus' own pages)
  --keep            leave the files for a look afterwards; nothing keeps running`,

  run: async (args, { signal }) => {
    if (!existsSync(program))
      throw new DocbusError(
        'config_invalid',
        'The demo is part of a checkout of docbus, not of this installation. Clone the repository and run: npm ci && npm run demo',
      );
    // In a session of its own: Ctrl-C would reach it twice, from the terminal and from here, and the second one means "at once".
    const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit', detached: true });
    signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  },
};
