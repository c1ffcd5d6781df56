// Each setting of the agent: its variables, its meaning for people, and how its text is read.
import { defaultGuardLimits, isDocbusError, type GuardLimits } from '@docbus/core';
import { checkLogUrl } from '@docbus/log/open.ts';
import { secretsExample, secretsProblem, splitSecrets } from '@docbus/log/secrets.ts';
import { logLevels, optionalSetting, setting, wholeNumber } from '@docbus/runtime';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';

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
export const directory = absolute.refine((path) => !isOtherThanDirectory(path), 'is not a directory');

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

export function declareSettings(host: string) {
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
      about: 'the pause between two sweeps, which find what no hint told',
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

function guardLimits(text: string): GuardLimits {
  const [count = '', percent = ''] = text.split(',');
  return { count: Number(count), share: Number.parseInt(percent, 10) / 100 };
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
