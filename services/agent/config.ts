// The agent's settings. Variables that AnythingLLM has too keep AnythingLLM's names and defaults, so that one env file serves both.
import type { Fingerprint, GuardLimits } from '@docbus/core';
import { readSettings, type Environment, type LogLevel, type Origin } from '@docbus/runtime';
import { hostname } from 'node:os';
import { join, relative, sep } from 'node:path';
import { declareSettings } from './declared-settings.ts';
import { resolveModel } from './embedder-model.ts';

export type AgentConfig = {
  readonly replica: string;
  /** URL of the log, with its secrets */
  readonly log: string;
  /** the first seals what is appended, all open what is read; none: the log is not sealed */
  readonly secrets: readonly string[];
  readonly storageDir: string;
  readonly databaseFile: string;
  readonly stateDir: string;
  readonly chroma: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> };
  readonly embedder: Pick<Fingerprint, 'engine' | 'model'>;
  readonly sweepMs: number;
  /** how long something must be absent before it counts as deleted */
  readonly settleMs: number;
  readonly deleteGuard: GuardLimits;
  readonly http: { readonly host: string; readonly port: number };
  readonly token: string | undefined;
  readonly logLevel: LogLevel;
  readonly documentBytesMax: number;
  readonly polling: boolean;
};

/** Variables that are not the agent's: DOCBUS_AGENTS is the command line's, DOCBUS_TEST_… are the tests'. */
const isOther = (name: string): boolean => name === 'DOCBUS_AGENTS' || name.startsWith('DOCBUS_TEST_');

/** Reads the settings from the environment. Throws one `config_invalid` that lists everything wrong. */
export function readAgentConfig(environment: Environment, host: string = hostname()): AgentConfig {
  return readAgentSettings(environment, host).config;
}

/** The settings, and where each came from. */
export function readAgentSettings(
  environment: Environment,
  host: string = hostname(),
): { readonly config: AgentConfig; readonly origins: readonly Origin[] } {
  const { values, origins } = readSettings(environment, declareSettings(host), {
    prefix: 'DOCBUS_',
    isOther,
    check: (found) => [...placesProblems(found), ...secretProblems(found), ...chromaProblems(found, environment)],
  });
  const {
    storageDir,
    stateDir,
    databaseFile,
    chromaEndpoint,
    chromaHeader,
    chromaKey,
    engine,
    model,
    secret,
    secretFile,
    vectorDb: _,
    ...rest
  } = values;
  const config: AgentConfig = {
    ...rest,
    secrets: secret ?? secretFile ?? [],
    storageDir,
    databaseFile: databaseFile ?? join(storageDir, 'anythingllm.db'),
    stateDir: stateDir ?? defaultStateDir(storageDir),
    chroma: { endpoint: chromaEndpoint, headers: chromaHeaders(chromaHeader, chromaKey) },
    embedder: { engine, model: resolveModel(engine, model) },
  };
  const derived: Readonly<Record<string, string>> = {
    databaseFile: config.databaseFile,
    stateDir: config.stateDir,
    model: config.embedder.model,
  };
  return {
    config,
    origins: Object.entries(origins).map(([field, origin]) =>
      origin.from === 'not set' && derived[field] !== undefined ? { ...origin, from: 'default', shown: derived[field] } : origin,
    ),
  };
}

/**
 * Inside the storage, so that the manifest always belongs to the files it speaks of: it is on the same volume, is backed up and restored
 * with them, and whoever restores an old storage gets the old manifest, not a new one that takes the difference for deletions. Two agents
 * on one storage meet at its lock. AnythingLLM looks at none of its directories but its own.
 */
function defaultStateDir(storageDir: string): string {
  return join(storageDir, 'docbus');
}

function placesProblems({ storageDir, stateDir }: { storageDir?: string; stateDir?: string | undefined }): string[] {
  if (storageDir === undefined || stateDir === undefined) return [];
  const problem = (words: string): string[] => [`DOCBUS_STATE_DIR=${stateDir} ${words}, for example ${defaultStateDir(storageDir)}`];
  if (isWithin(storageDir, stateDir)) return problem('holds the storage; it must be a directory of its own');
  for (const place of ['documents', 'vector-cache'])
    if (isWithin(stateDir, join(storageDir, place))) return problem(`is inside ${place}/, which is AnythingLLM's; it must be elsewhere`);
  return [];
}

function secretProblems({ secret, secretFile }: { secret?: unknown; secretFile?: unknown }): string[] {
  return secret !== undefined && secretFile !== undefined ? ['DOCBUS_SECRET and DOCBUS_SECRET_FILE are both set; keep one of them'] : [];
}

/** True where `path` is `parent` or below it. */
function isWithin(path: string, parent: string): boolean {
  const way = relative(parent, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`));
}

/** AnythingLLM takes no notice of one without the other, and then wonders why Chroma refuses it. */
function chromaProblems({ chromaHeader, chromaKey }: { chromaHeader?: unknown; chromaKey?: unknown }, environment: Environment): string[] {
  if (chromaHeader !== undefined && chromaKey === undefined)
    return ['CHROMA_API_HEADER is set without CHROMA_API_KEY; set both or neither'];
  if (chromaKey === undefined || chromaHeader !== undefined || (environment['CHROMA_API_HEADER'] ?? '').trim() !== '') return []; // a wrong header was told
  return ['CHROMA_API_KEY is set without CHROMA_API_HEADER; set both or neither, for example CHROMA_API_HEADER=Authorization'];
}

/** As AnythingLLM does: only both together count, and Authorization gets a Bearer. */
function chromaHeaders(header: string | undefined, key: string | undefined): Readonly<Record<string, string>> {
  if (header === undefined || key === undefined) return {};
  return { [header]: header === 'Authorization' ? `Bearer ${key}` : key };
}
