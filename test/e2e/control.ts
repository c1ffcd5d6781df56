// What a test may do to an agent from outside, through files in one directory: hold it before it reads the log, kill it at a numbered
// call of its ports, and count its looks at the storage. Numbers begin anew each time a kill is armed.
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Control = {
  readonly directory: string;
  /** From now on the agent stops before its next read of the log, and so before everything that follows from it. */
  hold(): void;
  /** True once it stands there: nothing of it runs but its HTTP. */
  isHeld(): boolean;
  release(): void;
  /** The agent dies by SIGKILL at its nth call from now; `Infinity` only numbers the calls. */
  killAt(n: number): void;
  disarm(): void;
  /** names of the calls since the last `killAt`, in order */
  calls(): readonly string[];
  /** how often the agent listed the folders of documents/: once per sweep */
  sweeps(): number;
};

const names = { hold: 'hold', held: 'held', kill: 'kill', calls: 'calls', sweeps: 'sweeps' };

export function openControl(directory: string): Control {
  mkdirSync(directory, { recursive: true });
  const at = (name: keyof typeof names): string => join(directory, names[name]);
  let generation = 0;
  return {
    directory,
    hold: () => {
      rmSync(at('held'), { force: true });
      writeFileSync(at('hold'), '');
    },
    isHeld: () => existsSync(at('held')),
    release: () => {
      rmSync(at('hold'), { force: true });
      rmSync(at('held'), { force: true });
    },
    killAt: (n) => {
      rmSync(at('calls'), { force: true });
      generation += 1;
      // By rename: the agent must never read half a number.
      writeFileSync(`${at('kill')}.new`, `${generation} ${n}`);
      renameSync(`${at('kill')}.new`, at('kill'));
    },
    disarm: () => rmSync(at('kill'), { force: true }),
    calls: () => readIfThere(at('calls'))?.trimEnd().split('\n') ?? [],
    sweeps: () => (existsSync(at('sweeps')) ? statSync(at('sweeps')).size : 0),
  };
}

/** The agent's side of the same directory. */
export type Controlled = {
  /** A numbered call begins here; does not return where it is the one to die at. */
  point(name: string): void;
  isHeld(): boolean;
  noteHeld(): void;
  noteSweep(): void;
};

export function obeyControl(directory: string): Controlled {
  const at = (name: keyof typeof names): string => join(directory, names[name]);
  let armed: { readonly order: string; count: number } | undefined;
  return {
    point(name) {
      const order = readIfThere(at('kill'));
      if (order === undefined) return;
      if (armed?.order !== order) armed = { order, count: 0 };
      armed.count += 1;
      appendFileSync(at('calls'), `${name}\n`);
      if (armed.count === Number(order.split(' ')[1])) process.kill(process.pid, 'SIGKILL');
    },
    isHeld: () => existsSync(at('hold')),
    noteHeld: () => {
      if (!existsSync(at('held'))) writeFileSync(at('held'), '');
    },
    noteSweep: () => appendFileSync(at('sweeps'), '.'),
  };
}

/** The test takes a file away while the agent looks for it: asking first whether it is there would be one look too many. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
