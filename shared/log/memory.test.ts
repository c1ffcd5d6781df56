import { test } from 'node:test';
import assert from 'node:assert/strict';
import { systemClock } from '@docbus/runtime';
import { logConformance } from './conformance.ts';
import {
  compactMemoryStore,
  createMemoryStore,
  loseMemoryTail,
  openMemoryLog,
  recreateMemoryStore,
  truncateMemoryStore,
} from './memory.ts';

for (const compactsAtAppend of [true, false])
  logConformance(compactsAtAppend ? 'memory, compacting at append' : 'memory', {
    compactsAtAppend,
    deadlineMs: 2000,
    create: async () => {
      const store = createMemoryStore({ clock: systemClock, compactsAtAppend });
      return {
        open: async (replica) => openMemoryLog(store, { replica }),
        recreate: async () => recreateMemoryStore(store),
        truncate: async () => void truncateMemoryStore(store, 5),
        loseTail: async (kept) => void loseMemoryTail(store, kept),
        [Symbol.asyncDispose]: async () => {},
      };
    },
  });

const never = new AbortController().signal;
const limits = { recordsMax: 100, bytesMax: 1 << 20 };

test('compaction leaves the newest value of each key, in order, and nothing of keys that ended in null', async () => {
  const store = createMemoryStore({ clock: systemClock });
  const log = openMemoryLog(store);
  const put = (key: string, value: string | null) => ({ key, value: value === null ? null : Buffer.from(value), headers: {} });
  await log.append([put('a', '1'), put('b', '1'), put('c', '1'), put('a', '2'), put('c', null)], never);
  const [first] = await log.read(undefined, limits, never);
  compactMemoryStore(store);
  const left = await log.read(undefined, limits, never);
  assert.deepEqual(
    left.map(({ key, value }) => [key, String(value)]),
    [
      ['b', '49'],
      ['a', '50'],
    ],
  );
  assert.deepEqual(await log.read(first?.position, limits, never), left);
});
