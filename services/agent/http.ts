// The agent's HTTP: health for orchestrators and load balancers, metrics for Prometheus, status for people, and what they may ask.
import type { Key } from '@docbus/core';
import { createApp, httpError, requireToken, type Clock, type Logger, type Registry } from '@docbus/runtime';
import type { Hono, Context as Request } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { Agent } from './agent.ts';
import { dismissSchema, idsSchema, keysSchema, type Conflicts, type Deletes, type Quarantine } from './api.ts';
import type { Loop } from './run.ts';
import type { StatusReader } from './status.ts';

export type HttpOptions = {
  readonly agent: Agent;
  readonly loop: Loop;
  readonly reader: StatusReader;
  readonly registry: Registry;
  readonly token: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A step is bounded, but one with a slow Chroma behind it may take minutes. */
const TURN_MS_MAX = 10 * 60_000;

/** Room for the keys of a hundred thousand held deletions. */
const BODY_BYTES_MAX = 32 << 20;

/** Strict: a misspelt limit would otherwise be no limit, and the answer a 503 that nobody understands. */
const syncQuery = z.strictObject({
  max_lag_records: z.coerce.number().int().min(0).optional(),
  max_lag_seconds: z.coerce.number().min(0).optional(),
});
const conflictsQuery = z.strictObject({ limit: z.coerce.number().int().min(1).optional() });

export function createAgentApp({ agent, loop, reader, registry, token, clock, logger }: HttpOptions): Hono {
  const { manifest } = agent.context;
  const app = createApp(logger);
  const signalOf = (request: Request): AbortSignal => request.req.raw.signal;

  app.get('/livez', (request) => {
    const seconds = Math.round((clock.now() - loop.turnedAt()) / 1000);
    return seconds * 1000 <= TURN_MS_MAX
      ? request.json({ live: true })
      : request.json(httpError('stuck', `The loop has not turned for ${seconds} seconds; restart the agent.`), 503);
  });
  app.get('/readyz', async (request) => {
    const problems = await reader.problems(signalOf(request));
    return request.json({ ready: problems.length === 0, problems }, problems.length === 0 ? 200 : 503);
  });
  app.get('/syncz', async (request) => {
    const query = syncQuery.safeParse(request.req.query());
    if (!query.success)
      return request.json(
        httpError('bad_query', 'The parameters of /syncz are max_lag_records=N and max_lag_seconds=N, with N >= 0; there are no others.'),
        400,
      );
    const { max_lag_records: records, max_lag_seconds: seconds } = query.data;
    const [lag, problems] = await Promise.all([reader.lag(signalOf(request)), reader.problems(signalOf(request))]);
    const limits = { records: records ?? (seconds === undefined ? 0 : Infinity), seconds: seconds ?? Infinity };
    const caughtUp =
      problems.length === 0 &&
      lag !== undefined &&
      lag.records <= limits.records &&
      (lag.records === 0 || (lag.seconds ?? (limits.seconds === Infinity ? 0 : Infinity)) <= limits.seconds);
    return request.json({ caughtUp, lagRecords: lag?.records ?? null, lagSeconds: lag?.seconds ?? null, problems }, caughtUp ? 200 : 503);
  });
  app.get('/metrics', async (request) => request.text(await registry.metrics(), 200, { 'Content-Type': registry.contentType }));
  app.get('/status', async (request) => request.json(await reader.status(signalOf(request))));
  app.get('/deletes', (request) => request.json({ deletes: [...manifest.held()] } satisfies Deletes));
  app.get('/quarantine', (request) =>
    request.json({
      quarantine: manifest.quarantined().map(({ id, key, code, message, time }) => ({ id, key, code, message, time })),
    } satisfies Quarantine),
  );
  app.get('/conflicts', (request) => {
    const query = conflictsQuery.safeParse(request.req.query());
    if (!query.success) return request.json(httpError('bad_query', 'The parameter of /conflicts is limit=N, with N >= 1.'), 400);
    return request.json({ conflicts: [...manifest.conflicts(query.data.limit)], total: manifest.conflictCount() } satisfies Conflicts);
  });

  const guarded = requireToken(token);
  const limited = bodyLimit({
    maxSize: BODY_BYTES_MAX,
    onError: (request) => request.json(httpError('body_too_large', `Send at most ${BODY_BYTES_MAX} bytes, or {} for all of them.`), 413),
  });
  const change = <B>(path: string, schema: z.ZodType<B>, act: (body: B, signal: AbortSignal) => Promise<number> | number): void => {
    app.post(path, guarded, limited, async (request) => {
      const text = await request.req.text();
      const body = parseBody(text, schema);
      // An unreadable body must never be taken for "all of them".
      if (body === undefined) return request.json(httpError('bad_body', `Send JSON, for example {}; this was: ${text.slice(0, 60)}`), 400);
      return request.json({ done: await loop.command((signal) => act(body, signal)) });
    });
  };
  change('/deletes/approve', keysBody, ({ keys }) => agent.approveDeletions(toSet(keys) as KeySet));
  change('/deletes/revert', keysBody, ({ keys }, signal) => agent.revertDeletions(toSet(keys) as KeySet, signal));
  change('/quarantine/retry', idsBody, ({ ids }, signal) => agent.retryQuarantined(toSet(ids), signal));
  change('/quarantine/drop', idsBody, ({ ids }) => agent.dropQuarantined(toSet(ids)));
  change('/conflicts/dismiss', dismissBody, ({ ids, files = false }) => agent.dismissConflicts(toSet(ids), files));
  return app;
}

/** Answers while the storage is awaited: alive, not ready, and why. Nothing else can be said yet. */
export function createWaitingApp(reason: string, logger: Logger): Hono {
  const app = createApp(logger);
  app.get('/livez', (request) => request.json({ live: true }));
  app.get('/readyz', (request) => request.json({ ready: false, problems: [reason] }, 503));
  app.get('/syncz', (request) => request.json({ caughtUp: false, lagRecords: null, lagSeconds: null, problems: [reason] }, 503));
  app.all('*', (request) => request.json(httpError('storage_missing', reason), 503));
  return app;
}

/** Undefined where it is not what is expected; an empty body asks for all. */
function parseBody<B>(text: string, schema: z.ZodType<B>): B | undefined {
  try {
    const parsed = schema.safeParse(text.trim() === '' ? {} : JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const keysBody = z.strictObject(keysSchema.shape);
type KeySet = ReadonlySet<Key> | undefined;
const idsBody = z.strictObject(idsSchema.shape);
const dismissBody = z.strictObject(dismissSchema.shape);

function toSet(list: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return list === undefined ? undefined : new Set(list);
}
