// Bugs to test the tester: each is one switch between the agent and its ports (or its settings), and each must be found by a check.
import type { AgentOptions } from '@docbus/agent/context.ts';
import { isDocbusError, DocbusError, sha256 } from '@docbus/core';
import { decodeRecord } from '@docbus/log';
import type { Log, Position } from '@docbus/log/port.ts';
import type { Manifest } from '@docbus/replica/manifest.ts';
import type { Caches, Documents, Records, Vectors } from '@docbus/replica/port.ts';
import type { Plant } from './world.ts';

/** The manifest with some methods replaced; the others keep their own `this`. */
function withManifest(options: AgentOptions, replace: (manifest: Manifest) => Partial<Record<keyof Manifest, unknown>>): AgentOptions {
  const { manifest } = options;
  const replaced = new Map(Object.entries(replace(manifest)));
  const proxy = new Proxy(manifest, {
    get(target, name) {
      if (typeof name === 'string' && replaced.has(name)) return replaced.get(name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { ...options, manifest: proxy };
}

const withDocuments = (options: AgentOptions, replace: (documents: Documents) => Partial<Documents>): AgentOptions => ({
  ...options,
  replica: { ...options.replica, documents: { ...options.replica.documents, ...replace(options.replica.documents) } },
});
const withCaches = (options: AgentOptions, replace: (caches: Caches) => Partial<Caches>): AgentOptions => ({
  ...options,
  replica: { ...options.replica, caches: { ...options.replica.caches, ...replace(options.replica.caches) } },
});
const withRecords = (options: AgentOptions, replace: (records: Records) => Partial<Records>): AgentOptions => ({
  ...options,
  replica: { ...options.replica, records: { ...options.replica.records, ...replace(options.replica.records) } },
});
const withVectors = (options: AgentOptions, replace: (vectors: Vectors) => Partial<Vectors>): AgentOptions => ({
  ...options,
  replica: { ...options.replica, vectors: { ...options.replica.vectors, ...replace(options.replica.vectors) } },
});
const withLog = (options: AgentOptions, replace: (log: Log) => Partial<Log>): AgentOptions => ({
  ...options,
  log: { ...options.log, ...replace(options.log) },
});

export const plants: readonly Plant[] = [
  {
    name: 'documents are written after they are recorded',
    options: (options) => {
      const late: (() => void)[] = [];
      const written = withDocuments(options, (documents) => ({
        write: (path, bytes) => void late.push(() => documents.write(path, bytes)),
      }));
      return withLog(written, (log) => ({
        report: async (position, signal) => {
          for (const write of late.splice(0)) write();
          await log.report(position, signal);
        },
      }));
    },
  },
  { name: 'no intents', options: (options) => withManifest(options, () => ({ putIntent: () => {} })) },
  {
    name: 'the outbox is forgotten at a restart',
    options: (options) => {
      options.manifest.clearOutbox();
      return options;
    },
  },
  {
    name: 'an append that failed counts as done',
    options: (options) =>
      withLog(options, (log) => ({
        append: async (records, signal) => {
          // Half of it gets there, and nobody hears of the rest.
          await log.append(records.slice(0, Math.ceil(records.length / 2)), signal);
        },
      })),
  },
  {
    name: 'what others did is not remembered (echo)',
    options: (options) =>
      withManifest(options, (manifest) => ({
        record: (entry: Parameters<Manifest['record']>[0]) => {
          if (entry.version.replica === options.settings.replicaId) manifest.record(entry);
        },
      })),
  },
  {
    name: 'a tombstone is no entry: a late put takes over',
    options: (options) =>
      withManifest(options, (manifest) => ({
        entry: (key: Parameters<Manifest['entry']>[0]) => {
          const entry = manifest.entry(key);
          return entry?.state === 'deleted' ? undefined : entry;
        },
      })),
  },
  {
    name: 'no delete guard',
    options: (options) => ({
      ...withRecords(
        withDocuments(options, () => ({ exists: () => true })),
        (records) => ({ look: () => ({ ...records.look(), resetEvent: 0, eventSequence: Number.MAX_SAFE_INTEGER }) }),
      ),
      settings: { ...options.settings, guard: { count: Infinity, share: 1 } },
    }),
  },
  {
    name: 'a missing documents/ is a deletion',
    options: (options) => withDocuments(options, () => ({ exists: () => true })),
  },
  {
    name: 'a reset is not noticed',
    options: (options) => withRecords(options, (records) => ({ look: () => ({ ...records.look(), resetEvent: 0 }) })),
  },
  {
    name: 'vectors without rows of document_vectors',
    options: (options) => withRecords(options, () => ({ addVectorIds: () => {} })),
  },
  {
    name: 'vectors that a slow AnythingLLM adds beside ours are not noticed',
    faults: ['slow'],
    options: (options) => withRecords(options, () => ({ vectorIdsAfter: (after) => ({ last: after, more: false, ids: new Map() }) })),
  },
  {
    name: 'what AnythingLLM filled is taken on trust',
    options: (options) => withManifest(options, () => ({ unsampledFills: () => [] })),
  },
  {
    name: 'rows that go with their document are still said to be here',
    options: (options) => {
      let depth = 0;
      return withManifest(options, (manifest) => ({
        // Alone, it is said before they go; with others, once they are gone.
        transaction: (work: () => unknown) => {
          depth = 0;
          return manifest.transaction(work);
        },
        record: (entry: Parameters<Manifest['record']>[0]) => {
          depth += 1;
          manifest.record(entry);
        },
        setApplied: (key: Parameters<Manifest['setApplied']>[0], applied: boolean) => {
          if (applied || depth > 0) manifest.setApplied(key, applied);
        },
      }));
    },
  },
  {
    name: 'what people removed before it was recorded is put there again',
    options: (options) => withManifest(options, () => ({ hasLanded: () => false })),
  },
  { name: 'old vectors stay', options: (options) => withVectors(options, () => ({ remove: async () => {} })) },
  {
    name: 'a stale cache stays',
    options: (options) =>
      withCaches(options, (caches) => ({
        remove: () => {},
        write: (path, embedding, ids) => {
          if (caches.signature(path) === undefined) caches.write(path, embedding, ids);
        },
      })),
  },
  {
    name: 'the loser of a conflict is dropped',
    options: (options) => ({ ...options, conflicts: { ...options.conflicts, save: () => 'nowhere' } }),
  },
  {
    name: 'the checkpoint goes ahead',
    options: (options) =>
      withLog(options, (log) => ({
        read: async (after, limits, signal) => {
          const records = await log.read(after, limits, signal);
          const last: Position | undefined = records.at(-1)?.position;
          if (last !== undefined) options.manifest.setMeta('checkpoint', last);
          return records;
        },
      })),
  },
  { name: 'parts are forgotten between batches', options: (options) => withManifest(options, () => ({ putPart: () => {} })) },
  {
    name: 'a deleted workspace keeps its memberships',
    options: (options) =>
      withRecords(options, (records) => ({
        removeWorkspace: () => {},
        setMemberships: (writes) => records.setMemberships(writes.filter(({ copies }) => copies.length > 0)),
      })),
  },
  {
    name: 'a bad record stops the batch',
    options: (options) =>
      withLog(options, (log) => ({
        read: async (after, limits, signal) => {
          const records = await log.read(after, limits, signal);
          for (const record of records)
            try {
              decodeRecord(record);
            } catch (error) {
              throw isDocbusError(error) ? new DocbusError('log_corrupt', error.message) : error;
            }
          return records;
        },
      })),
  },
  {
    name: 'vector ids are random',
    options: (options) => {
      const random = (ids: readonly string[]): string[] =>
        ids.map((id) => sha256(`${id} ${Buffer.from(options.clock.random(8)).toString('hex')}`));
      let names = new Map<string, string>();
      return withVectors(
        withRecords(options, (records) => ({
          addVectorIds: (rows) => {
            const fresh = random(rows.map(({ vectorId }) => vectorId));
            names = new Map([...names, ...rows.map(({ vectorId }, index) => [vectorId, fresh[index] ?? vectorId] as const)]);
            records.addVectorIds(rows.map(({ docId, vectorId }) => ({ docId, vectorId: names.get(vectorId) ?? vectorId })));
          },
        })),
        (vectors) => ({
          add: (slug, batch, signal) => vectors.add(slug, { ...batch, ids: batch.ids.map((id) => names.get(id) ?? id) }, signal),
        }),
      );
    },
  },
  {
    name: 'pins are not applied',
    options: (options) =>
      withRecords(options, (records) => ({
        setMemberships: (writes) =>
          records.setMemberships(writes.map((write) => ({ ...write, copies: write.copies.map((copy) => ({ ...copy, pinned: false })) }))),
      })),
  },
  {
    name: 'only one workspace is filled',
    options: (options) =>
      withVectors(options, (vectors) => ({
        add: (slug, batch, signal) => (slug === 'alpha' ? Promise.resolve() : vectors.add(slug, batch, signal)),
      })),
  },
  {
    name: 'the digest is not kept up',
    options: (options) => {
      let calls = 0;
      return withManifest(options, (manifest) => ({
        record: (entry: Parameters<Manifest['record']>[0]) =>
          manifest.record(++calls % 7 === 0 ? { ...entry, hash: sha256(entry.hash) } : entry),
      }));
    },
  },
  {
    name: 'half a document is published',
    options: (options) =>
      withDocuments(options, (documents) => ({
        read: (path) => {
          const reading = documents.read(path);
          const signature = documents.signature(path);
          if (reading.type !== 'unsettled' || signature === undefined) return reading;
          const value = new TextEncoder().encode('{"half":');
          return { type: 'read', value, hash: sha256(value), signature, racy: false };
        },
      })),
  },
  {
    name: 'rows are written over whatever is there',
    options: (options) =>
      withRecords(options, (records) => ({
        membershipsOf: () => [],
        setMemberships: (writes) =>
          records.setMemberships(
            writes.map((write) => ({
              ...write,
              expected: records.membershipsIn(write.slug).find(({ path }) => path === write.path)?.copies ?? [],
            })),
          ),
      })),
  },
  {
    name: 'files are never looked at again before they are overwritten',
    options: (options) =>
      withManifest(options, (manifest) => ({
        file: (place: Parameters<Manifest['file']>[0], path: Parameters<Manifest['file']>[1]) => {
          const mark = manifest.file(place, path);
          const signature = place === 'document' ? options.replica.documents.signature(path) : options.replica.caches.signature(path);
          return mark === undefined || signature === undefined ? mark : { ...mark, signature };
        },
      })),
  },
  {
    name: 'what nobody has read back counts as being in the log',
    options: (options) => withManifest(options, () => ({ setSent: () => {} })),
  },
];
