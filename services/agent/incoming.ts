// incoming turns a batch of records into changes with their payloads, and what cannot be read into quarantine (invariant 8).
import { isDocbusError, type Change, type DocbusError, type Key } from '@docbus/core';
import { authorOf, decodeRecord } from '@docbus/log';
import type { ReadRecord } from '@docbus/log/port.ts';
import type { Quarantined } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';

/** `packed` undefined: no payload, or its parts are gone (`missingParts`). */
export type Incoming = { readonly change: Change; readonly packed: Uint8Array | undefined; readonly missingParts: boolean };
type Part = { readonly key: Key; readonly hash: string; readonly index: number; readonly bytes: Uint8Array };

export type Batch = {
  readonly incoming: readonly Incoming[];
  /** parts whose change lies beyond this batch */
  readonly parts: readonly Part[];
  /** keys whose parts were used or have become useless */
  readonly usedParts: ReadonlySet<Key>;
  readonly quarantine: readonly Quarantined[];
  /** who appended each record that was refused as forged, by its own account; '' where it does not say */
  readonly forgedBy: readonly string[];
};

/** `before`: parts of the batch before this one, where they are not yet in the manifest. */
export function readBatch({ manifest, clock }: Context, records: readonly ReadRecord[], before: readonly Part[] = []): Batch {
  const incoming: Incoming[] = [];
  const quarantine: Quarantined[] = [];
  const forgedBy: string[] = [];
  const fresh = new Map<string, Map<number, Part>>();
  const usedParts = new Set<Key>();
  const keep = (part: Part): void => {
    const id = `${part.key}\n${part.hash}`;
    const pieces = fresh.get(id) ?? new Map<number, Part>();
    fresh.set(id, pieces.set(part.index, part));
  };
  before.forEach(keep);

  const partsOfChange = (change: Change, count: number): Uint8Array | undefined => {
    const id = `${change.key}\n${change.hash}`;
    const found = fresh.get(id);
    const stored = found?.size === count ? undefined : manifest.parts(change.key, change.hash);
    const pieces: Uint8Array[] = [];
    for (let index = 0; index < count; index++) {
      const piece = found?.get(index)?.bytes ?? stored?.get(index);
      if (piece === undefined) return undefined;
      pieces.push(piece);
    }
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  };

  for (const record of records) {
    try {
      const decoded = decodeRecord(record);
      switch (decoded.type) {
        case 'dropped':
          break;
        case 'part':
          keep(decoded);
          break;
        case 'change': {
          const { change, payload } = decoded;
          const packed =
            payload.type === 'inline' ? payload.packed : payload.type === 'parts' ? partsOfChange(change, payload.parts) : undefined;
          incoming.push({ change, packed, missingParts: payload.type === 'parts' && packed === undefined });
          for (const id of fresh.keys()) if (id.startsWith(`${change.key}\n`)) fresh.delete(id);
          usedParts.add(change.key);
          break;
        }
      }
    } catch (error) {
      if (!(isDocbusError(error) && error.remedy === 'quarantine')) throw error;
      const isForged = error.code === 'record_forged';
      if (isForged) forgedBy.push(authorOf(record) ?? '');
      // With a wrong secret every record of the log comes here: of those, what nobody can read is not kept.
      const value = record.value === null || isForged ? null : Buffer.from(record.value).toString('base64');
      const raw = new TextEncoder().encode(JSON.stringify({ key: record.key, headers: record.headers, value }));
      quarantine.push({
        id: `record/${record.position}`,
        key: null,
        code: error.code,
        message: error.message,
        time: clock.now(),
        change: null,
        packed: raw,
        logged: true,
      });
    }
  }
  return { incoming, parts: [...fresh.values()].flatMap((pieces) => [...pieces.values()]), usedParts, quarantine, forgedBy };
}

/** A change in quarantine, by key and version: the same change again is the same item. */
export function quarantineOf(
  { clock }: Pick<Context, 'clock'>,
  { change, packed }: Pick<Incoming, 'change' | 'packed'>,
  error: DocbusError,
): Quarantined {
  return {
    id: `change/${change.key}/${change.version.revision}@${change.version.replica}`,
    key: change.key,
    code: error.code,
    message: error.message,
    time: clock.now(),
    change,
    packed,
    logged: true,
  };
}
