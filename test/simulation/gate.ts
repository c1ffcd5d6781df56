// Every call of an agent to one of its ports passes here. Calls over a network park until the scheduler lets them go, with the
// outcome it draws; calls to disk and SQLite happen at once, but may crash the agent before or after, or fail.
// A crashed agent never acts again: whatever it calls throws Crash.
import type { AgentOptions } from '@docbus/agent/context.ts';
import { DocbusError, type ErrorCode } from '@docbus/core';
import type { Random } from './random.ts';

/** What becomes of a parked call. 'lost': it happened, the answer did not come. 'half': a part of it happened. */
export type Outcome = 'done' | 'failed' | 'lost' | 'half' | 'twice' | 'again' | 'crash before' | 'crash after';

export class Crash extends Error {
  override readonly name = 'Crash';
}

export type Parked = { readonly name: string; readonly release: (outcome: Outcome) => void };

export type Session = {
  readonly id: string;
  alive: boolean;
  /** in the order in which they were made */
  parked: Parked[];
  /** how deep in manifest.transaction */
  depth: number;
  /** calls of the running step, for the trace */
  readonly trace: (line: string) => void;
  readonly chance: SessionChances;
  readonly random: Random;
};

/** Probabilities per call; all 0 once it is quiet. */
export type SessionChances = { crash: number; busy: number; disk: number; pause: number };

export function crash(session: Session, where: string): never {
  session.trace(`crash ${where}`);
  session.alive = false;
  throw new Crash(where);
}

export function check(session: Session): void {
  if (!session.alive) throw new Crash('it is dead already');
}

function park(session: Session, name: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const parked: Parked = {
      name,
      release: (outcome) => {
        session.parked.splice(session.parked.indexOf(parked), 1);
        resolve(outcome);
      },
    };
    session.parked.push(parked);
  });
}

export type Remote<T> = {
  readonly failure: ErrorCode;
  readonly act: () => Promise<T>;
  /** a part of it, where it has parts */
  readonly half?: () => Promise<unknown>;
  /** what the fault 'again' means for it */
  readonly again?: () => Promise<T>;
};

/** One call over a network. */
export async function remote<T>(session: Session, name: string, { failure, act, half, again }: Remote<T>): Promise<T> {
  check(session);
  const outcome = await park(session, name);
  if (outcome === 'crash before') crash(session, `before ${name}`);
  const fail = (): never => {
    throw new DocbusError(failure, `${name} fails by the simulation`);
  };
  if (outcome === 'failed') fail();
  if (outcome === 'half') {
    await half?.();
    fail();
  }
  if (outcome === 'twice') await act();
  const result = outcome === 'again' && again !== undefined ? await again() : await act();
  if (outcome === 'crash after') crash(session, `after ${name}`);
  if (outcome === 'lost') fail();
  if (session.random.chance(session.chance.pause)) {
    const late = await park(session, `${name} answered`);
    if (late.startsWith('crash')) crash(session, `after ${name}`);
    if (late !== 'done') fail();
  }
  check(session);
  return result;
}

/** Errors that a sync call may fail with by itself, before it does anything. */
type Local = { readonly busy?: boolean; readonly disk?: boolean };

function local<T>(session: Session, name: string, { busy = false, disk = false }: Local, act: () => T): T {
  check(session);
  if (session.random.chance(session.chance.crash)) crash(session, `before ${name}`);
  if (busy && session.random.chance(session.chance.busy)) throw new DocbusError('database_busy', `${name} is busy by the simulation`);
  if (disk && session.random.chance(session.chance.disk))
    throw new DocbusError('disk_full', `${name} finds the disk full by the simulation`);
  const result = act();
  if (session.random.chance(session.chance.crash)) crash(session, `after ${name}`);
  return result;
}

type Method = (...args: unknown[]) => unknown;

/** Methods in `writes` may crash and fail; the others only ask whether the agent is alive. */
function guardPort<T extends object>(session: Session, port: T, label: string, writes: Readonly<Record<string, Local>>): T {
  const made = new Map<string | symbol, unknown>();
  return new Proxy(port, {
    get(target, name) {
      const known = made.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const method = value as Method;
      const faults = typeof name === 'string' ? writes[name] : undefined;
      const guarded: Method =
        faults === undefined
          ? (...args) => {
              check(session);
              return method.apply(target, args);
            }
          : (...args) => local(session, `${label}.${String(name)}`, faults, () => method.apply(target, args));
      made.set(name, guarded);
      return guarded;
    },
  });
}

const FILE = { disk: true };
const ROWS = { busy: true };

/** One statement outside a transaction is a transaction. */
const manifestWrites = [
  'record',
  'setMeta',
  'setApplied',
  'setLogged',
  'putPayload',
  'putOutbox',
  'clearOutbox',
  'putIntent',
  'dropIntents',
];
const manifestMarks = [
  'putFile',
  'dropFile',
  'putFill',
  'dropFill',
  'putPart',
  'dropParts',
  'putHeld',
  'dropHeld',
  'putQuarantine',
  'putConflict',
];

function guardManifest(session: Session, manifest: AgentOptions['manifest']): AgentOptions['manifest'] {
  const writes = new Set([...manifestWrites, ...manifestMarks]);
  const made = new Map<string | symbol, unknown>();
  return new Proxy(manifest, {
    get(target, name) {
      const known = made.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const method = (value as Method).bind(target);
      let guarded: Method = (...args) => {
        check(session);
        return method(...args);
      };
      if (name === 'transaction')
        guarded = (work) =>
          local(session, 'manifest.transaction', { disk: true }, () => {
            session.depth += 1;
            try {
              return target.transaction(() => {
                const result = (work as () => unknown)();
                if (session.random.chance(session.chance.crash)) crash(session, 'before commit');
                return result;
              });
            } finally {
              session.depth -= 1;
            }
          });
      else if (typeof name === 'string' && writes.has(name)) {
        guarded = (...args) => {
          check(session);
          return session.depth > 0 ? method(...args) : local(session, `manifest.${name}`, {}, () => method(...args));
        };
      }
      made.set(name, guarded);
      return guarded;
    },
  });
}

/** Most often nothing comes between, as in a program that works fast. */
async function breathe(session: Session): Promise<void> {
  check(session);
  if (!session.random.chance(session.chance.pause / 10)) return;
  const outcome = await park(session, 'breathe');
  if (outcome.startsWith('crash')) crash(session, 'breathing');
  check(session);
}

/** The same ports, through the gate. */
export function gateOptions(session: Session, options: AgentOptions): AgentOptions {
  const { replica, log, manifest, conflicts, clock } = options;
  const { vectors } = replica;
  const chroma = <T>(name: string, act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> =>
    remote(session, `vectors.${name}`, { failure: 'chroma_unreachable', act, ...(half === undefined ? {} : { half }) });
  const broker = <T>(name: string, act: () => Promise<T>, more: Partial<Remote<T>> = {}): Promise<T> =>
    remote(session, `log.${name}`, { failure: 'log_unreachable', act, ...more });
  return {
    ...options,
    manifest: guardManifest(session, manifest),
    clock: { ...clock, breathe: () => breathe(session) },
    conflicts: guardPort(session, conflicts, 'conflicts', { save: FILE }),
    replica: {
      documents: guardPort(session, replica.documents, 'documents', { write: FILE, remove: FILE }),
      caches: guardPort(session, replica.caches, 'caches', { write: FILE, remove: FILE }),
      records: guardPort(session, replica.records, 'records', {
        version: ROWS,
        putWorkspace: ROWS,
        removeWorkspace: ROWS,
        setMemberships: ROWS,
        addVectorIds: ROWS,
        removeVectorIds: ROWS,
      }),
      vectors: {
        ready: (signal) => chroma('ready', () => vectors.ready(signal)),
        add: (slug, batch, signal) =>
          chroma(
            `add ${slug} ${batch.ids.length}`,
            () => vectors.add(slug, batch, signal),
            () => vectors.add(slug, firstHalf(batch), signal),
          ),
        remove: (slug, ids, signal) =>
          chroma(
            `remove ${slug} ${ids.length}`,
            () => vectors.remove(slug, ids, signal),
            () => vectors.remove(slug, ids.slice(0, ids.length >> 1), signal),
          ),
        removeCollection: (slug, signal) => chroma(`removeCollection ${slug}`, () => vectors.removeCollection(slug, signal)),
        count: (slug, signal) => chroma('count', () => vectors.count(slug, signal)),
        present: (slug, ids, signal) => chroma('present', () => vectors.present(slug, ids, signal)),
        fetch: (slug, ids, signal) => chroma(`fetch ${slug} ${ids.length}`, () => vectors.fetch(slug, ids, signal)),
      },
    },
    log: {
      ...log,
      append: (records, signal) =>
        broker(`append ${records.length}`, () => log.append(records, signal), {
          half: () => log.append(records.slice(0, records.length >> 1), signal),
        }),
      read: (after, limits, signal) =>
        broker('read', () => log.read(after, limits, signal), {
          again: async () => {
            const fresh = await log.read(after, limits, signal);
            if (fresh.length === 0 || after === undefined) return fresh;
            const old = await log.read(undefined, { recordsMax: 1 + session.random.below(1000), bytesMax: limits.bytesMax }, signal);
            const from = session.random.below(old.length);
            return [...old.slice(from).filter(({ position }) => numberOf(position) <= numberOf(after)), ...fresh];
          },
        }),
      end: (after, signal) => broker('end', () => log.end(after, signal)),
      report: (position, signal) => broker('report', () => log.report(position, signal)),
      identity: (signal) => broker('identity', () => log.identity(signal)),
    },
  };
}

/** The number of the record, out of a position of the memory log (see position.ts). */
export function numberOf(position: string | undefined): number {
  return position === undefined ? 0 : Number(position.split(':')[2]);
}

type Batch = Parameters<AgentOptions['replica']['vectors']['add']>[1];

function firstHalf(batch: Batch): Batch {
  const count = batch.ids.length >> 1;
  return {
    ...batch,
    ids: batch.ids.slice(0, count),
    vectors: batch.vectors.slice(0, count * batch.dimensions),
    texts: batch.texts.slice(0, count),
    metadatas: batch.metadatas.slice(0, count),
  };
}
