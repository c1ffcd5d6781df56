// Stands between an agent and its ports: numbers every call that changes something, so that a test can have the process killed before
// it, and, where the call is a request to a server, while it is under way and just after it was answered.
import { setImmediate } from 'node:timers/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentOptions } from '@docbus/agent/context.ts';
import type { Controlled } from './control.ts';

const HOLD_MS = 10;

export function withKillPoints(options: AgentOptions, control: Controlled): AgentOptions {
  const { replica, log, manifest, conflicts } = options;
  const { documents, caches, records, vectors } = replica;
  const before = (place: string) => (name: string) => control.point(`${place}.${name}`);
  return {
    ...options,
    conflicts: intercept(conflicts, ['save'], before('conflicts'), 'sync'),
    manifest: intercept(manifest, ['transaction'], before('manifest'), 'sync'),
    log: holdReads(intercept(log, ['append', 'report'], before('log'), 'request'), control),
    replica: {
      documents: countSweeps(intercept(documents, ['write', 'remove'], before('documents'), 'sync'), control),
      caches: intercept(caches, ['write', 'remove'], before('caches'), 'sync'),
      records: intercept(
        records,
        ['putWorkspace', 'removeWorkspace', 'setMemberships', 'addVectorIds', 'removeVectorIds'],
        before('records'),
        'sync',
      ),
      vectors: intercept(vectors, ['add', 'remove', 'removeCollection'], before('vectors'), 'request'),
    },
  };
}

type Call = (...args: unknown[]) => unknown;

/** The same port; the named methods are points. Methods are called on the port itself, whose private fields do not bear a proxy. */
function intercept<Port extends object>(
  port: Port,
  methods: readonly (keyof Port & string)[],
  point: (name: string) => void,
  kind: 'sync' | 'request',
): Port {
  const numbered = new Set<string>(methods);
  return new Proxy(port, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const call: Call = (...args) => (value as Call).apply(target, args);
      if (typeof property !== 'string' || !numbered.has(property)) return call;
      if (kind === 'sync')
        return (...args: unknown[]) => {
          point(property);
          return call(...args);
        };
      return async (...args: unknown[]) => {
        point(property);
        const answer = call(...args) as Promise<unknown>;
        answer.catch(() => {}); // it is awaited below; until then a rejection must not count as unhandled
        await setImmediate(); // the request is on its way
        point(`${property} (sent)`);
        const result = await answer;
        point(`${property} (answered)`);
        return result;
      };
    },
  });
}

function holdReads(log: AgentOptions['log'], control: Controlled): AgentOptions['log'] {
  return new Proxy(log, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property !== 'read') return value;
      return async (...args: Parameters<AgentOptions['log']['read']>) => {
        for (const signal = args[2]; control.isHeld() && !signal.aborted;) {
          control.noteHeld();
          await sleep(HOLD_MS);
        }
        return (value as AgentOptions['log']['read'])(...args);
      };
    },
  });
}

function countSweeps(documents: AgentOptions['replica']['documents'], control: Controlled): AgentOptions['replica']['documents'] {
  return new Proxy(documents, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property !== 'folders') return value;
      return () => {
        control.noteSweep();
        return (value as () => readonly string[])();
      };
    },
  });
}
