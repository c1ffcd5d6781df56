// Child processes of tests, demo and benches: started with their output in a file, awaited until ready, and ended in every case.
// Whatever this process started is dead soon after this process is, however it died: a guard in a session of its own
// holds a pipe to us and kills what is left when the pipe closes (SIGKILL, Ctrl-C and crashes included).
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { systemClock } from '@docbus/runtime/clock.ts';

export type ProcessEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A running child with its own process group. Disposing it is `stop()`. */
export type Running = AsyncDisposable & {
  readonly name: string;
  readonly pid: number;
  /** the file that takes stdout and stderr: a server whose pipe nobody drains can hang */
  readonly output: string;
  readonly ended: Promise<ProcessEnd>;
  hasEnded(): boolean;
  /** Sends a signal to the child's whole process group; nothing happens when it has ended. Does not wait. */
  kill(signal: NodeJS.Signals): void;
  /** The polite signal, then SIGKILL after `stopMs`; resolves when it has ended. May be called again. */
  stop(): Promise<ProcessEnd>;
  /** what it has put out since it was started */
  text(): string;
  /** the last lines of that, for messages */
  tail(lines?: number): string;
};

export type StartOptions = {
  /** for messages */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly directory?: string;
  /** added to this process's environment; undefined removes a variable */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** appended to, so that the output of a restarted server stays together */
  readonly output: string;
  /** True when it can be used; `text` is what it has put out since it was started. Errors count as "not yet" and show up in the message when the time is over. */
  readonly ready: (signal: AbortSignal, text: () => string) => Promise<boolean>;
  readonly readyMs?: number;
  readonly stopSignal?: NodeJS.Signals;
  readonly stopMs?: number;
};

/** Starts a process and resolves when it is ready. Rejects, with the end of its output, when it ends before or is not ready in time; nothing is left running then. */
export async function startProcess(options: StartOptions, signal?: AbortSignal): Promise<Running> {
  const running = spawnProcess(options);
  const early = new AbortController();
  const ended = running.ended.then(() => early.abort());
  try {
    await waitFor(
      `${options.name} to be ready`,
      (attempt) => {
        if (running.hasEnded()) throw new EndedEarly();
        return options.ready(attempt, running.text);
      },
      { deadlineMs: options.readyMs ?? 30_000, everyMs: 25 },
      AbortSignal.any(signal === undefined ? [early.signal] : [early.signal, signal]),
    );
    return running;
  } catch (error) {
    const endedEarly = running.hasEnded();
    running.kill('SIGKILL');
    await ended;
    const end = await running.ended;
    signal?.throwIfAborted();
    const what = endedEarly ? `ended before it was ready (${formatEnd(end)})` : `is not ready after ${options.readyMs ?? 30_000} ms`;
    throw new Error(`${options.name} ${what}. Its output (${options.output}) ends with:\n${running.tail()}`, { cause: error });
  }
}

class EndedEarly extends Error {}

export type SpawnOptions = Omit<StartOptions, 'ready' | 'readyMs'>;

/** Starts a process without waiting for anything. */
export function spawnProcess(options: SpawnOptions): Running {
  return launch(options).running;
}

function launch(options: SpawnOptions): { readonly running: Running; readonly child: ChildProcess } {
  const { name, command, args, directory, env, output, stopSignal = 'SIGTERM', stopMs = 5_000 } = options;
  mkdirSync(dirname(output), { recursive: true });
  const file = openSync(output, 'a');
  const before = fstatSync(file).size;
  let child: ChildProcess;
  try {
    child = spawn(command, args, {
      ...(directory === undefined ? {} : { cwd: directory }),
      env: { ...process.env, ...env },
      stdio: ['ignore', file, file],
      detached: true, // a group of its own, so that its own children end with it
    });
  } finally {
    closeSync(file);
  }
  let end: ProcessEnd | undefined;
  const ended = new Promise<ProcessEnd>((resolve, reject) => {
    child.once('error', (error) => (child.pid === undefined ? reject(error) : undefined));
    child.once('exit', (code, by) => {
      end = { code, signal: by };
      guard('-', child.pid);
      resolve(end);
    });
  });
  if (child.pid === undefined) {
    ended.catch(() => {}); // the error event only repeats what is thrown here
    throw new Error(`${name} could not be started: ${command} is missing or not executable.`);
  }
  const { pid } = child;
  guard('+', pid);
  child.unref(); // a forgotten child must not keep a test file from ending; the guard ends the child

  const kill = (by: NodeJS.Signals): void => {
    if (end === undefined) killGroup(pid, by);
  };
  const stop = async (): Promise<ProcessEnd> => {
    if (end !== undefined) return end;
    child.ref();
    kill(stopSignal);
    const patience = new AbortController();
    const impatient = systemClock.sleep(stopMs, patience.signal).then(
      () => kill('SIGKILL'),
      () => {},
    );
    const result = await ended;
    patience.abort();
    await impatient;
    return result;
  };
  const text = (): string => readFileSync(output).subarray(before).toString();
  const running: Running = {
    name,
    pid,
    output,
    ended,
    hasEnded: () => end !== undefined,
    kill,
    stop,
    text,
    tail: (lines = 20) => text().trimEnd().split('\n').slice(-lines).join('\n'),
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
  return { running, child };
}

/** Runs a command to its end; rejects with the end of its output when it fails. Its output goes to a file. */
export async function runProcess(options: SpawnOptions, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { running, child } = launch(options);
  child.ref(); // its end is what we wait for
  const abort = (): void => running.kill('SIGKILL');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const end = await running.ended;
    signal?.throwIfAborted();
    if (end.code !== 0)
      throw new Error(`${options.name} failed (${formatEnd(end)}). Its output (${options.output}) ends with:\n${running.tail()}`);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

export type WaitLimits = { readonly deadlineMs: number; readonly everyMs?: number };

/**
 * Asks again and again until the condition holds. An attempt may take at most a quarter of the time, so that one hanging request
 * does not use it up. Rejects after `deadlineMs` naming what was waited for and the last error, or when the signal aborts.
 */
export async function waitFor(
  what: string,
  condition: (signal: AbortSignal) => Promise<boolean> | boolean,
  { deadlineMs, everyMs = 50 }: WaitLimits,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const until = systemClock.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    signal.throwIfAborted();
    try {
      if (await condition(AbortSignal.any([signal, AbortSignal.timeout(Math.max(1_000, deadlineMs / 4))]))) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (systemClock.now() >= until) throw new Error(`Waited ${deadlineMs} ms in vain for ${what}.`, { cause: last });
    await systemClock.sleep(everyMs, signal);
  }
}

/** A port on 127.0.0.1 that nobody listens on at this moment; somebody else may take it before you do. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}

export function formatEnd(end: ProcessEnd): string {
  return end.signal === null ? `exit code ${end.code}` : `signal ${end.signal}`;
}

function killGroup(pid: number, by: NodeJS.Signals): void {
  try {
    process.kill(-pid, by);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Reads `+ pid` and `- pid`; at the end of input kills the groups that are still listed. Then it
 * removes the directory of `directory path`. A shell costs 1 MB, another Node 40.
 */
const GUARD = `
pids=" "
directory=""
while read -r sign pid; do
  case "$sign" in
    directory) directory="$pid" ;;
    +) pids="$pids$pid " ;;
    -) before="\${pids%% "$pid" *}"; after="\${pids#* "$pid" }"; [ "$pids" = "$before" ] || pids="$before $after" ;;
  esac
done
for pid in $pids; do kill -9 "-$pid" 2>/dev/null; done
[ -z "$directory" ] || for try in 1 2 3 4 5; do sleep 0.1; rm -rf "$directory" 2>/dev/null && break; done
`;

let guardian: ChildProcess | undefined;

function guard(sign: '+' | '-', pid: number | undefined): void {
  if (pid !== undefined) tellGuard(`${sign} ${pid}`);
}

/** Has the directory of this process, the last one that is named, removed after its death, when all that it started is dead. */
export function removeAfterDeath(directory: string): void {
  tellGuard(`directory ${directory}`);
}

function tellGuard(line: string): void {
  if (guardian === undefined) {
    guardian = spawn('/bin/sh', ['-c', GUARD], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    guardian.unref();
    guardian.stdin?.on('error', () => {}); // a guard that was itself killed protects nothing, but must not fail the tests
    (guardian.stdin as unknown as { unref(): void }).unref();
  }
  guardian.stdin?.write(`${line}\n`);
}
