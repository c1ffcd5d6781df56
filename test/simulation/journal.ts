// Everything that was ever appended to the log, by whom and in which order, whatever compaction and re-creation made of it since;
// and what users did. Both are only written down here; checks.ts judges.
import { isDocbusError, type Change, type Key } from '@docbus/core';
import { decodeRecord, unpackPayload } from '@docbus/log';
import type { LogRecord } from '@docbus/log/port.ts';

export type Appended = {
  readonly replica: string;
  /** of the record in its log */
  readonly number: number;
  /** how many logs there were before this one */
  readonly epoch: number;
  readonly record: LogRecord;
  /** undefined for parts, dropped parts and poison */
  readonly change: Change | undefined;
  /** bytes of an inline payload, unpacked */
  readonly content: Uint8Array | undefined;
  /** the log lost it, though it had acknowledged it */
  lost: boolean;
};

export function journalOf(replica: string, number: number, epoch: number, record: LogRecord): Appended {
  const common = { replica, number, epoch, record, lost: false };
  try {
    const decoded = decodeRecord(record);
    if (decoded.type !== 'change') return { ...common, change: undefined, content: undefined };
    const { change, payload } = decoded;
    const content =
      payload.type === 'inline' && change.key.startsWith('document/')
        ? unpackPayload(payload.packed, { hash: change.hash, bytesMax: 1 << 24 })
        : undefined;
    return { ...common, change, content };
  } catch (error) {
    if (!isDocbusError(error)) throw error;
    return { ...common, change: undefined, content: undefined };
  }
}

/** Something that AnythingLLM did to one key on one replica. Hashes as in changes, '' for absent. */
export type UserEdit = {
  readonly seq: number;
  readonly replica: string;
  readonly key: Key;
  readonly before: string;
  readonly after: string;
  /** length of the journal at that moment */
  readonly at: number;
  /** length of the journal up to the last record that this replica had applied */
  readonly seen: number;
  readonly operation: string;
  /** what it replaced was put there by the agent, which had noted so before it could record it */
  readonly landed: boolean;
  /** a reset of vectors: its absences are no deletions until somebody approves them */
  reset: boolean;
  /** made before its replica had read the log to its end for the first time: the log wins then, and the text is kept */
  readonly firstContact: boolean;
  /** lost with a disk, or undone by the operator: no invariant protects it */
  exempt: boolean;
  /** its disk was put back to what it was before: what is found there now is an earlier edit */
  rolledBack?: boolean;
};
