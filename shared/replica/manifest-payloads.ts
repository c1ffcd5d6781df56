// The packed bytes of present documents and embeddings, so that this replica can restore a log, a collection or a held deletion;
// and the parts of payloads that were read ahead of their change.
import type { Key } from '@docbus/core';
import type { ManifestStore } from './manifest-store.ts';

export type Payloads = ReturnType<typeof createPayloads>;

export function createPayloads({ get, all, run }: ManifestStore) {
  return {
    payload(key: Key): { readonly hash: string; readonly packed: Uint8Array } | undefined {
      const row = get('select hash, packed from payloads where key = ?', key);
      return row === undefined ? undefined : { hash: String(row['hash']), packed: row['packed'] as Uint8Array };
    },

    /** Size of the stored payload in bytes, without reading it. */
    payloadBytes(key: Key): { readonly hash: string; readonly bytes: number } | undefined {
      const row = get('select hash, length(packed) as n from payloads where key = ?', key);
      return row === undefined ? undefined : { hash: String(row['hash']), bytes: Number(row['n']) };
    },

    putPayload(key: Key, hash: string, packed: Uint8Array): void {
      run(
        'insert into payloads values (?, ?, ?) on conflict do update set hash = excluded.hash, packed = excluded.packed',
        key,
        hash,
        packed,
      );
    },

    dropPayload(key: Key): void {
      run('delete from payloads where key = ?', key);
    },

    putPart(key: Key, hash: string, index: number, bytes: Uint8Array): void {
      run('insert or replace into parts values (?, ?, ?, ?)', key, hash, index, bytes);
    },

    parts(key: Key, hash: string): ReadonlyMap<number, Uint8Array> {
      return new Map(
        all('select idx, bytes from parts where key = ? and hash = ?', key, hash).map((row) => [
          Number(row['idx']),
          row['bytes'] as Uint8Array,
        ]),
      );
    },

    dropParts(key: Key): void {
      run('delete from parts where key = ?', key);
    },
  };
}
