// The agent's settings. Variables that AnythingLLM has too keep AnythingLLM's names and defaults, so that one env file serves both.
import { defaultGuardLimits, isDocbusError, type Fingerprint, type GuardLimits } from '@docbus/core';
import { checkLogUrl } from '@docbus/log/open.ts';
import { secretsExample, secretsProblem, splitSecrets } from '@docbus/log/secrets.ts';
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, relative, resolve, sep } from 'node:path';
import {
  logLevels,
  optionalSetting,
  readSettings,
  setting,
  wholeNumber,
  type Environment,
  type LogLevel,
  type Origin,
} from '@docbus/runtime';
import { z } from 'zod';

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
  const { values, origins } = readSettings(environment, declare(host), {
    prefix: 'DOCBUS_',
    isOther,
    check: (found) => [...placesProblems(found), ...secretProblems(found)],
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

/** Which schemes there are is known to the log, which says so: before anything is started, and beside what else is wrong. */
function refuseLogUrl(url: string, context: z.RefinementCtx): void {
  try {
    checkLogUrl(url);
  } catch (error) {
    if (!isDocbusError(error, 'config_invalid')) throw error;
    context.addIssue({ code: 'custom', message: `is refused: ${error.message.replace(/\.$/, '')}` });
  }
}

const absolute = z.string().transform((text) => resolve(text));

/** What is not there yet may be made or mounted; something else in its place never becomes a directory. */
const directory = absolute.refine((path) => !isOtherThanDirectory(path), 'is not a directory');

function isOtherThanDirectory(path: string): boolean {
  try {
    return !statSync(path).isDirectory();
  } catch (error) {
    return ['ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? ''); // of others whoever needs it speaks
  }
}

const secretList = z
  .string()
  .superRefine((text, context) => {
    const problem = secretsProblem(text);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  })
  .transform(splitSecrets);

function readSecretFile(path: string, context: z.RefinementCtx): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    context.addIssue({ code: 'custom', message: `cannot be read (${(error as NodeJS.ErrnoException).code})` });
    return z.NEVER;
  }
}

function declare(host: string) {
  return {
    replica: setting({
      names: ['DOCBUS_REPLICA'],
      about: 'the name of this replica, different on each',
      example: 'replica-1',
      schema: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, underscores or hyphens'),
      fallback: host,
    }),
    log: setting({
      names: ['DOCBUS_LOG'],
      about: 'the address of the log that all replicas share',
      example: 'sqlite:/var/lib/docbus/log.db',
      schema: z.string().superRefine(refuseLogUrl),
    }),
    secret: optionalSetting({
      names: ['DOCBUS_SECRET'],
      about:
        'the secret that seals the log, the same on all replicas; while it is being changed several, separated by commas, of which the first seals and all open',
      example: secretsExample,
      schema: secretList,
      secret: true,
    }),
    secretFile: optionalSetting({
      names: ['DOCBUS_SECRET_FILE'],
      about: 'a file with the secret that seals the log, or several, one per line',
      example: '/run/secrets/docbus',
      schema: z.string().transform(readSecretFile).pipe(secretList),
    }),
    storageDir: setting({
      names: ['DOCBUS_STORAGE_DIR', 'STORAGE_DIR'],
      about: 'the storage directory of this AnythingLLM',
      example: '/app/server/storage',
      schema: directory,
    }),
    databaseFile: optionalSetting({
      names: ['DOCBUS_DATABASE'],
      about: "AnythingLLM's SQLite file",
      example: '/app/server/storage/anythingllm.db',
      schema: absolute,
    }),
    stateDir: optionalSetting({
      names: ['DOCBUS_STATE_DIR'],
      about: 'the directory for what docbus remembers',
      example: '/var/lib/docbus/state',
      schema: directory,
    }),
    chromaEndpoint: setting({
      names: ['CHROMA_ENDPOINT'],
      about: 'the address of the Chroma of this AnythingLLM',
      example: 'http://localhost:8000',
      schema: z
        .string()
        .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), 'must be an http:// or https:// address')
        .transform((text) => text.replace(/\/+$/, '')),
      fallback: 'http://localhost:8000',
    }),
    chromaHeader: optionalSetting({
      names: ['CHROMA_API_HEADER'],
      about: 'the header that carries CHROMA_API_KEY',
      example: 'X-Api-Key',
      schema: z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'must be the name of an HTTP header'),
    }),
    chromaKey: optionalSetting({
      names: ['CHROMA_API_KEY'],
      about: "Chroma's key",
      example: 'a long random word',
      schema: z.string(),
      secret: true,
    }),
    vectorDb: optionalSetting({
      names: ['VECTOR_DB'],
      about: "AnythingLLM's vector database",
      example: 'chroma',
      schema: z.literal('chroma', 'must be chroma, the only vector database that docbus can fill'),
    }),
    engine: setting({
      names: ['EMBEDDING_ENGINE'],
      about: "AnythingLLM's embedder",
      example: 'native',
      schema: z.string(),
      fallback: 'native',
    }),
    model: optionalSetting({
      names: ['EMBEDDING_MODEL_PREF'],
      about: "the embedder's model",
      example: 'Xenova/all-MiniLM-L6-v2',
      schema: z.string(),
    }),
    sweepMs: setting({
      names: ['DOCBUS_SWEEP_MS'],
      about: 'the pause between two full scans',
      example: '300000',
      schema: wholeNumber(100, 86_400_000),
      fallback: '300000',
    }),
    settleMs: setting({
      names: ['DOCBUS_SETTLE_MS'],
      about: 'how long something must be absent before it counts as deleted',
      example: '1000',
      schema: wholeNumber(0, 3_600_000),
      fallback: '1000',
    }),
    deleteGuard: setting({
      names: ['DOCBUS_DELETE_GUARD'],
      about: 'how many deletions in one look are held for approval',
      example: '10,20%',
      schema: z
        .string()
        .regex(/^\d{1,9}\s*,\s*(100|\d{1,2})\s*%$/, 'must be a number and a percentage; deletions over both are held')
        .transform(guardLimits),
      fallback: `${defaultGuardLimits.count},${defaultGuardLimits.share * 100}%`,
    }),
    http: setting({
      names: ['DOCBUS_HTTP'],
      about: 'where the agent answers',
      example: '127.0.0.1:4510',
      schema: z
        .string()
        .regex(/^(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i, 'must be host:port')
        .transform(hostAndPort)
        .refine(({ port }) => port <= 65_535, 'must have a port of at most 65535'),
      fallback: '127.0.0.1:4510',
    }),
    token: optionalSetting({
      names: ['DOCBUS_TOKEN'],
      about: 'the secret that requests which change state must carry',
      example: 'the output of: openssl rand -hex 24',
      schema: z.string().regex(/^[\x21-\x7E]{8,}$/, 'must have at least 8 characters, ASCII without spaces'),
      secret: true,
    }),
    logLevel: setting({
      names: ['DOCBUS_LOG_LEVEL'],
      about: 'how much the agent says',
      example: 'info',
      schema: z.string().pipe(z.enum(logLevels, `must be one of ${logLevels.join(', ')}`)),
      fallback: 'info',
    }),
    documentBytesMax: setting({
      names: ['DOCBUS_DOCUMENT_BYTES_MAX'],
      about: 'the size of the largest document that is replicated',
      example: '268435456',
      // A document is one JavaScript string in AnythingLLM, and those end at 512 MiB.
      schema: wholeNumber(1, 536_870_888),
      fallback: '268435456',
    }),
    polling: setting({
      names: ['DOCBUS_POLLING', 'CHOKIDAR_USEPOLLING'],
      about: 'true where file events do not work (NFS, SMB, Docker Desktop)',
      example: 'true',
      schema: z
        .string()
        .regex(/^(true|false|1|0)$/i, 'must be true or false')
        .transform((text) => /^(true|1)$/i.test(text)),
      fallback: 'false',
    }),
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

/** As AnythingLLM does: only both together count, and Authorization gets a Bearer. */
function chromaHeaders(header: string | undefined, key: string | undefined): Readonly<Record<string, string>> {
  if (header === undefined || key === undefined) return {};
  return { [header]: header === 'Authorization' ? `Bearer ${key}` : key };
}

/** What AnythingLLM v1.16 takes where EMBEDDING_MODEL_PREF says nothing (server/utils/EmbeddingEngines). Other engines have no default. */
const defaultModels: Readonly<Record<string, string>> = {
  cohere: 'embed-english-v3.0',
  gemini: 'gemini-embedding-001',
  litellm: 'text-embedding-ada-002',
  mistral: 'mistral-embed',
  openai: 'text-embedding-ada-002',
  openrouter: 'baai/bge-m3',
  voyageai: 'voyage-3-lite',
};
const nativeModels = ['Xenova/all-MiniLM-L6-v2', 'Xenova/nomic-embed-text-v1', 'MintplexLabs/multilingual-e5-small'] as const;

/** The model that is really in force, so that replicas which say the same in different ways have the same fingerprint. */
function resolveModel(engine: string, preferred: string | undefined): string {
  if (engine !== 'native') return preferred ?? defaultModels[engine] ?? '';
  return nativeModels.find((model) => model === preferred) ?? nativeModels[0];
}

function guardLimits(text: string): GuardLimits {
  const [count = '', percent = ''] = text.split(',');
  return { count: Number(count), share: Number.parseInt(percent, 10) / 100 };
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
