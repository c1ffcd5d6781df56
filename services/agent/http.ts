// The agent's HTTP: health for orchestrators and load balancers, metrics for Prometheus, status for people, and what they may ask.
import type { Key } from '@docbus/core';
import { createApp, httpError, requireToken, type Clock, type Logger, type Registry } from '@docbus/runtime';
import type { Hono, Context as Request } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { Agent } from './agent.ts';
import { idsSchema, keysSchema, type Conflicts, type Deletes, type Quarantine } from './api.ts';
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

const syncQuery = z.object({
  max_lag_records: z.coerce.number().int().min(0).optional(),
  max_lag_seconds: z.coerce.number().min(0).optional(),
});

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
      return request.json(httpError('bad_query', 'Use /syncz?max_lag_records=N or /syncz?max_lag_seconds=N with N >= 0.'), 400);
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
  app.get('/conflicts', (request) => request.json({ conflicts: [...manifest.conflicts()] } satisfies Conflicts));

  const guarded = requireToken(token);
  const limited = bodyLimit({
    maxSize: BODY_BYTES_MAX,
    onError: (request) => request.json(httpError('body_too_large', `Send at most ${BODY_BYTES_MAX} bytes, or {} for all of them.`), 413),
  });
  const change = (path: string, act: (body: Body, signal: AbortSignal) => Promise<number> | number): void => {
    app.post(path, guarded, limited, async (request) => {
      const text = await request.req.text();
      const body = parseBody(text);
      // An unreadable body must never be taken for "all of them".
      if (body === undefined) return request.json(httpError('bad_body', `Send JSON, for example {}; this was: ${text.slice(0, 60)}`), 400);
      return request.json({ done: await loop.command((signal) => act(body, signal)) });
    });
  };
  const keysOf = ({ keys }: Body): ReadonlySet<Key> | undefined => toSet(keys) as ReadonlySet<Key> | undefined;
  change('/deletes/approve', (body) => agent.approveDeletions(keysOf(body)));
  change('/deletes/revert', (body, signal) => agent.revertDeletions(keysOf(body), signal));
  change('/quarantine/retry', (body, signal) => agent.retryQuarantined(toSet(body.ids), signal));
  change('/quarantine/drop', (body) => agent.dropQuarantined(toSet(body.ids)));
  return app;
}

/** Undefined where it is not what is expected; an empty body asks for all. */
function parseBody(text: string): Body | undefined {
  try {
    const parsed = bodySchema.safeParse(text.trim() === '' ? {} : JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const bodySchema = z.strictObject({ ...keysSchema.shape, ...idsSchema.shape });
type Body = z.infer<typeof bodySchema>;

function toSet(list: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return list === undefined ? undefined : new Set(list);
}
