// Records that no docbus writes, or that somebody damaged: each must end in quarantine, and nothing else.
import { documentKey, sha256, type Change, type DocPath } from '@docbus/core';
import { packPayload, recordsOf } from '@docbus/log';
import { openMemoryLog } from '@docbus/log/memory.ts';
import type { LogRecord } from '@docbus/log/port.ts';
import { journalOf } from './journal.ts';
import { signal, type World } from './world.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export async function appendPoison(world: World): Promise<void> {
  const { random, store } = world;
  const kind = random.pick(['not json', 'unknown type', 'leaves its directory', 'wrong hash', 'no parts', 'bad part']);
  const records = poison(world, kind);
  const before = store.last;
  await openMemoryLog(store).append(records, signal);
  for (const [index, record] of records.entries()) world.journal.push(journalOf('poison', before + index + 1, world.epoch, record));
  world.trace(`poison: ${kind}`);
}

function poison(world: World, kind: string): LogRecord[] {
  const { random, clock } = world;
  const path = `wiki/poison-${random.below(4)}.json` as DocPath;
  const key = documentKey(path);
  const raw = bytesOf(JSON.stringify({ pageContent: `poison ${random.below(100)}` }));
  const change: Change = {
    key,
    version: { revision: 1 + random.below(3), replica: 'zz' },
    base: {},
    hash: sha256(raw),
    instance: 'poison',
    time: clock.now(),
    state: 'present',
    content: { bytes: raw.length },
  };
  const record = (name: string, text: string): LogRecord => ({ key: name, value: bytesOf(text), headers: {} });
  switch (kind) {
    case 'not json':
      return [record(`document/wiki/garbage-${random.below(3)}.json`, 'garbage')];
    case 'unknown type':
      return [record('zebra/1', JSON.stringify({ specversion: '1.0', type: 'docbus.zebra.put.v1' }))];
    case 'leaves its directory': {
      const [whole] = recordsOf(change, packPayload(raw));
      const text = new TextDecoder().decode(whole?.value ?? undefined).replaceAll(key, 'document/../../x.json');
      return [record('document/../../x.json', text)];
    }
    case 'wrong hash':
      world.poisoned.add(key);
      return recordsOf({ ...change, hash: sha256('something else') }, packPayload(raw));
    case 'no parts': {
      world.poisoned.add(key);
      const large = Buffer.from(random.bytes(36_000)).toString('base64');
      const bytes = bytesOf(JSON.stringify({ pageContent: large }));
      return recordsOf({ ...change, hash: sha256(bytes), content: { bytes: bytes.length } }, packPayload(bytes)).slice(-1);
    }
    default:
      return [record(`part/${key}/nonsense/1`, 'x')];
  }
}
