// The small HTTP server of a docbus process: JSON errors in one form, and a token for whatever changes state.
import { createAdaptorServer } from '@hono/node-server';
import { DocbusError, isDocbusError, reasonOf } from '@docbus/core';
import { Hono, type MiddlewareHandler } from 'hono';
import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from './logger.ts';

/** Body of every answer that is not a success. */
export type HttpError = { readonly error: { readonly code: string; readonly message: string } };

/** How long a request in flight may take to end when the server is closed. */
const CLOSE_MS = 1000;

/** An app whose unknown paths and failures answer in the JSON error form; routes are added by the caller. */
export function createApp(logger: Logger): Hono {
  const app = new Hono();
  app.notFound((context) => context.json(httpError('not_found', `There is no ${context.req.method} ${context.req.path} here.`), 404));
  app.onError((error, context) => {
    if (isDocbusError(error)) return context.json(httpError(error.code, reasonOf(error)), statusOf(error));
    logger.error({ error, method: context.req.method, path: context.req.path }, 'request failed');
    return context.json(httpError('internal', 'This is a fault in docbus; its logger says more.'), 500);
  });
  return app;
}

/**
 * Lets a request pass that carries `Authorization: Bearer <token>`. Put it before every route that changes state.
 * Without a configured token such requests are refused, also on loopback: any local process could send them.
 */
export function requireToken(token: string | undefined): MiddlewareHandler {
  return async (context, next) => {
    if (token === undefined)
      return context.json(
        httpError(
          'token_not_set',
          'This changes state and needs a token. Set DOCBUS_TOKEN for this process, restart it, and send the same token.',
        ),
        403,
      );
    const [scheme = '', sent = ''] = (context.req.header('authorization') ?? '').split(' ');
    if (scheme.toLowerCase() !== 'bearer' || !sameSecret(sent, token)) {
      context.header('WWW-Authenticate', 'Bearer');
      return context.json(
        httpError('token_wrong', 'The token is missing or wrong. Send "Authorization: Bearer <DOCBUS_TOKEN of that process>".'),
        401,
      );
    }
    return next();
  };
}

export function httpError(code: string, message: string): HttpError {
  return { error: { code, message } };
}

/**
 * Listens until it is disposed or the signal aborts; port 0 takes a free one. Rejects with `config_invalid` where it cannot listen;
 * `setting` is the variable that its message names.
 */
export async function serveHttp(
  app: Hono,
  address: { readonly host: string; readonly port: number; readonly setting?: string },
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createAdaptorServer({ fetch: app.fetch, hostname: address.host }) as Server;
  try {
    server.listen(address.port, address.host);
    await once(server, 'listening', { signal });
  } catch (error) {
    server.close();
    if (signal.aborted) throw signal.reason;
    const { host, port, setting = 'the address' } = address;
    throw new DocbusError('config_invalid', `Cannot listen on ${host}:${port}. Stop whatever holds it or change ${setting}`, {
      cause: error,
    });
  }
  const stopListening = (): void => {
    server.close();
    server.closeIdleConnections();
  };
  signal.addEventListener('abort', stopListening, { once: true });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      signal.removeEventListener('abort', stopListening);
      await closeServer(server);
    },
  };
}

/** Requests in flight end by themselves, or are cut after CLOSE_MS: a stream of events would never end. */
async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await Promise.race([closed, sleep(CLOSE_MS, undefined, { ref: false })]);
  server.closeAllConnections();
  await closed;
}

/** Compares hashes, so that neither content nor length shows in the time it takes. */
function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}

function statusOf(error: DocbusError): 400 | 409 | 503 {
  if (error.code === 'config_invalid') return 400;
  return error.remedy === 'retry' ? 503 : 409;
}
