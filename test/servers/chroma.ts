// Real Chroma servers for tests, demo and benches: found on this machine or set up once in the cache, and started in a fraction of a second.
// Never two servers on one directory (they would lose vectors for good): a lock beside the directory sees to it.
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { findChroma, type ChromaLaunch } from './chroma-find.ts';
import { leaseChroma } from './chroma-lease.ts';
import { environment } from './find.ts';
import { freePort, startProcess, type Running } from './process.ts';

/** Disposing it is `stop()`. */
export type ChromaServer = AsyncDisposable & {
  /** `http://127.0.0.1:<port>`; stays the same over restarts */
  readonly url: string;
  readonly directory: string;
  /** of the server's process; of the last one where it is stopped */
  readonly pid: number;
  /** Sends a signal and, for SIGKILL, waits until the process is gone. Nothing when it is stopped. SIGTERM hangs Chroma: use `stop()`. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGINT, then SIGKILL; a write in flight is finished. May be called again. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same directory and port. */
  restart(): Promise<void>;
};

/** Without `port`, a free one. `directory` is made when it is missing. */
export type ChromaOptions = { readonly directory: string; readonly port?: number; readonly signal?: AbortSignal };

const READY_MS = 30_000;
const STOP_MS = 5_000;
const PORT_ATTEMPTS = 5;

/**
 * Starts a server and resolves when it answers. Rejects with what to install where this machine has no way to run one: that is
 * never a reason to skip a test. With `DOCBUS_TEST_CHROMA_URL` set, leases one of the servers named there instead (see chroma-lease.ts).
 */
export async function startChroma({ directory, port, signal }: ChromaOptions): Promise<ChromaServer> {
  const shared = environment('DOCBUS_TEST_CHROMA_URL');
  if (shared !== undefined) return await leaseChroma(shared.split(/[\s,]+/).filter(Boolean), signal);

  const launch = await findChroma(signal);
  const place = resolve(directory);
  mkdirSync(place, { recursive: true });
  let release = lockDirectory(place);
  try {
    let chosen = port ?? (await freePort());
    let running = await startOnce();
    const url = `http://127.0.0.1:${chosen}`;

    async function startOnce(): Promise<Running> {
      // Between finding a free port and Chroma's listening on it another process may take it; then Chroma ends, with exit code 0.
      for (let attempt = 1; ; attempt++) {
        try {
          return await launchOnce(launch, place, chosen, signal);
        } catch (error) {
          if (port !== undefined || attempt === PORT_ATTEMPTS || !/not available|in use/i.test((error as Error).message)) throw error;
          chosen = await freePort();
        }
      }
    }

    const end = async (): Promise<void> => {
      launch.beforeStop?.(chosen);
      await running.stop();
    };
    const stop = async (): Promise<void> => {
      await end();
      release();
    };
    return {
      url,
      directory: place,
      get pid() {
        return running.pid;
      },
      kill: async (by) => {
        launch.kill?.(chosen, by);
        running.kill(by);
        if (by === 'SIGKILL') await running.stop();
      },
      stop,
      restart: async () => {
        await stop();
        release = lockDirectory(place);
        running = await launchOnce(launch, place, chosen, signal);
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    release();
    throw error;
  }
}

function launchOnce(launch: ChromaLaunch, directory: string, port: number, signal?: AbortSignal): Promise<Running> {
  const { command, args, env } = launch.run(directory, port);
  return startProcess(
    {
      name: `Chroma (${launch.name})`,
      command,
      args,
      ...(env === undefined ? {} : { env }),
      output: join(`${directory}.log`),
      // An answer alone could come from another server that has the port; ours then ends a moment later.
      ready: async (attempt, text) =>
        /listening on/i.test(text()) && (await fetch(`http://127.0.0.1:${port}/api/v2/heartbeat`, { signal: attempt })).ok,
      readyMs: READY_MS,
      stopSignal: 'SIGINT',
      stopMs: STOP_MS,
    },
    signal,
  );
}

/** Held until released or until this process dies; returns how to release it. */
function lockDirectory(directory: string): () => void {
  const lock = new DatabaseSync(`${directory}.lock`);
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    throw new Error(
      `A Chroma server started by these tests already runs on ${directory}; a second one would destroy its index. Stop it first.`,
      {
        cause: error,
      },
    );
  }
  return () => {
    if (lock.isOpen) lock.close();
  };
}
