// What every step of the agent is given: its ports, its settings, and the little it remembers between steps.
// The memory is only about when to look and what to look at; losing it (a crash) costs a full survey.
import { defaultGuardLimits, type DocPath, type GuardLimits, type Key, type MembershipCopy, type Slug } from '@docbus/core';
import type { Log } from '@docbus/log/port.ts';
import type { EmbedderSettings, Replica, Signature } from '@docbus/replica/port.ts';
import type { FileMark, Manifest, Place } from '@docbus/replica/manifest.ts';
import type { Clock, Logger } from '@docbus/runtime';

export type AgentSettings = {
  readonly replicaId: string;
  readonly embedder: EmbedderSettings;
  /** how long something must be absent before it counts as deleted */
  readonly settleMs: number;
  readonly guard: GuardLimits;
  /** largest payload that is published or applied, unpacked */
  readonly payloadBytesMax: number;
  /** one publish step takes at most this many changes and about this many packed bytes */
  readonly publishChangesMax: number;
  readonly publishBytesMax: number;
  readonly readRecordsMax: number;
  readonly readBytesMax: number;
  /** how long the author of an entry is left to put it back into the log before the others do */
  readonly refillMs: number;
  /** vectors in one Chroma request: small while people search (their queries wait behind it), large while the replica is rebuilt */
  readonly vectorsPerRequest: { readonly following: number; readonly bootstrapping: number };
  /** a batch with more documents than this, or with the vectors of more than one request, is applied in groups */
  readonly groupDocumentsMax: number;
  /** a sweep looks at caches and rows where the database changed, and after this time in any case */
  readonly wholeSweepMs: number;
};

export const defaultSettings: Omit<AgentSettings, 'replicaId' | 'embedder'> = {
  settleMs: 1000,
  guard: defaultGuardLimits,
  payloadBytesMax: 1 << 30,
  publishChangesMax: 200,
  publishBytesMax: 8 << 20,
  readRecordsMax: 4000,
  readBytesMax: 16 << 20,
  refillMs: 15_000,
  vectorsPerRequest: { following: 300, bootstrapping: 2000 },
  groupDocumentsMax: 2000,
  wholeSweepMs: 60 * 60 * 1000,
};

/** Keeps what lost a conflict where a person can find it. */
export type ConflictStore = {
  /** Returns the file's path; the same content again is the same file. */
  save(key: Key, version: string, content: Uint8Array): string;
  /** Absent is fine. */
  remove(file: string): void;
};

export type AgentOptions = {
  readonly replica: Replica;
  readonly log: Log;
  readonly manifest: Manifest;
  readonly conflicts: ConflictStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: AgentSettings;
};

/** What a hint may say: where to look. Everything is an over-approximation; a full survey is always right. */
export type Scope = {
  readonly all?: boolean;
  /** all that may have changed without a hint: caches and rows only where the database changed, without which AnythingLLM completes nothing */
  readonly sweep?: boolean;
  readonly folders?: Iterable<string>;
  readonly paths?: Iterable<DocPath>;
  readonly records?: boolean;
};

export type AgentState = {
  readonly dirty: { allFiles: boolean; sweep: boolean; readonly folders: Set<string>; readonly paths: Set<DocPath>; records: boolean };
  /** Keys that looked different at the last survey; examined exactly before anything is published. A membership without copies is absent. */
  readonly documents: Set<DocPath>;
  readonly embeddings: Set<DocPath>;
  readonly workspaces: Set<Slug>;
  readonly memberships: Map<Key, Candidate>;
  /** first sight of each absence, in milliseconds of the clock */
  readonly absentSince: Map<Key, number>;
  /** when to look again at memberships whose rows or vectors are unfinished, in milliseconds of the clock */
  readonly finishAt: Map<Key, number>;
  /** by docId: when the manifest's fresh fills were noted, in milliseconds of the clock; an earlier life's count from its end */
  readonly freshSince: Map<string, number>;
  /** by docId: how often its fresh fills were looked at while the step that sent them had not ended */
  readonly freshLooks: Map<string, number>;
  /** what is put off because Chroma refuses it: said once */
  readonly refused: Set<string>;
  /** when to sample fills that AnythingLLM made, in milliseconds of the clock */
  sampleAt: number | undefined;
  /** the docId up to which they were looked at; '' from the first */
  sampleAfter: string;
  /** documents whose file is gone while rows hold them, as of the last look; since when, in milliseconds of the clock */
  readonly stillEmbedded: Map<DocPath, { readonly slug: Slug; readonly since: number }>;
  /** how many of them the logger was told of */
  stillEmbeddedSaid: number;
  /** names that cannot be replicated, and why; replaced at each survey of all of their place */
  readonly problems: Readonly<Record<Place | 'workspace' | 'row', Map<string, string>>>;
  /** files that do not parse, as they were when they were read: not read again before they are others, or a sweep comes by */
  readonly unsettled: Readonly<Record<Place, Map<DocPath, Signature>>>;
  /** memberships in whose place no vectors could be found: published without an embedding */
  readonly withoutEmbedding: Set<Key>;
  recordsVersion: string | undefined;
  /** the database's version when a sweep last looked at everything, and when that was */
  swept: { readonly version: string; readonly at: number } | undefined;
  /** of the rows that `memberships` was made from */
  membershipsMark: string | undefined;
  /** of the pins, as of a version of the database; not looked at again before `dueAt` */
  readonly pins: { mark: string | undefined; version: string | undefined; dueAt: number };
  /** Throws where this is not (any more) the storage that the manifest is about; see storage-guard.ts. */
  checkStorage: () => void;
  /** this process has looked for vectors that an earlier one left behind */
  straysCleared: boolean;
  /** AnythingLLM reset its vector store and its memberships are still absent */
  resetPending: boolean;
  /** the database is younger than the one we know */
  databaseReplaced: boolean;
  /** the log has been read to its end since this process began */
  caughtUp: boolean;
  /** the last read found nothing more */
  atEnd: boolean;
  unloggedSince: number | undefined;
  /** changes (key and version) that had been appended and were not read back when the log's end was reached, and since when */
  awaited: { readonly since: number; readonly changes: ReadonlySet<string> } | undefined;
  readonly startedAt: number;
};

export type Candidate = { readonly slug: Slug; readonly path: DocPath; readonly copies: readonly MembershipCopy[] };

export type Context = AgentOptions & { readonly state: AgentState };

/** A mark waits for the transaction that records what it is about. */
export type Mark = { readonly place: Place; readonly path: DocPath; readonly mark: FileMark | undefined };

export function createState(clock: Clock): AgentState {
  return {
    dirty: { allFiles: true, sweep: false, folders: new Set(), paths: new Set(), records: true },
    documents: new Set(),
    embeddings: new Set(),
    workspaces: new Set(),
    memberships: new Map(),
    absentSince: new Map(),
    finishAt: new Map(),
    freshSince: new Map(),
    freshLooks: new Map(),
    refused: new Set(),
    sampleAt: undefined,
    sampleAfter: '',
    stillEmbedded: new Map(),
    stillEmbeddedSaid: 0,
    problems: { document: new Map(), cache: new Map(), workspace: new Map(), row: new Map() },
    unsettled: { document: new Map(), cache: new Map() },
    withoutEmbedding: new Set(),
    recordsVersion: undefined,
    swept: undefined,
    membershipsMark: undefined,
    pins: { mark: undefined, version: undefined, dueAt: -Infinity },
    checkStorage: () => {},
    straysCleared: false,
    resetPending: false,
    databaseReplaced: false,
    caughtUp: false,
    atEnd: false,
    unloggedSince: undefined,
    awaited: undefined,
    startedAt: clock.now(),
  };
}

export function isBootstrapping(manifest: Manifest): boolean {
  return manifest.meta('bootstrapped') === undefined;
}

/** An intent that equals its entry means: recorded, but something that depends on it is still to be done here. */
export function requestMaterialise(manifest: Manifest, key: Key): void {
  const entry = manifest.entry(key);
  if (entry !== undefined) {
    const { state, hash, content, version } = entry;
    manifest.putIntent({ key, state, hash, content, revision: version.revision });
  }
}

export function writeMarks(manifest: Manifest, marks: readonly Mark[]): void {
  for (const { place, path, mark } of marks) {
    if (mark === undefined) manifest.dropFile(place, path);
    else manifest.putFile(place, path, mark);
  }
}
