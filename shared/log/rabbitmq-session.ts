// A session: a link on which the stream was found, and what was prepared on it. One piece of work at a time; whatever fails ends the
// session, and the next piece of work opens another.
import { isDocbusError } from '@docbus/core';
import { createTurns } from './broker-link.ts';
import { openRabbitLink, type RabbitLink } from './rabbitmq-client.ts';
import { codeOf, INTERNAL_ERROR, isGone } from './rabbitmq-errors.ts';
import { openStream, type StreamOptions } from './rabbitmq-stream.ts';

export type RabbitSession<T> = { readonly link: RabbitLink; readonly own: T };

export type RabbitSessions<T> = AsyncDisposable & {
  /** What `work` throws comes out as a DocbusError. Where the stream was deleted, it is run a second time on the stream of now. */
  use<R>(
    what: string,
    deadlineMs: number,
    signal: AbortSignal,
    work: (session: RabbitSession<T>, alive: () => void) => Promise<R>,
  ): Promise<R>;
};

const OPEN_MS = 30_000;
const OPEN_ATTEMPTS = 5;

export function createRabbitSessions<T>(
  options: StreamOptions & { readonly clientName: string },
  prepare: (link: RabbitLink) => Promise<T>,
): RabbitSessions<T> {
  const turns = createTurns(options.name);
  const { clock } = options;
  let session: RabbitSession<T> | undefined;

  const open = async (signal: AbortSignal): Promise<RabbitSession<T>> => {
    const link = await openRabbitLink(options, signal);
    const prepared = async (): Promise<T> => {
      await openStream(link, options, signal);
      return await prepare(link);
    };
    return { link, own: await link.run('looking at the stream', OPEN_MS, prepared, signal) };
  };

  const current = async (signal: AbortSignal): Promise<RabbitSession<T>> => {
    if (session !== undefined && !session.link.isBroken()) return session;
    for (let attempt = 1; ; attempt++) {
      try {
        return (session = await open(signal));
      } catch (error) {
        const isBeingMade = isDocbusError(error) && codeOf(error.cause) === INTERNAL_ERROR;
        if (!isBeingMade || attempt === OPEN_ATTEMPTS) throw error;
        await clock.sleep(100 * attempt, signal);
      }
    }
  };

  const use: RabbitSessions<T>['use'] = async (what, deadlineMs, signal, work) =>
    await turns(signal, async () => {
      for (let isSecond = false; ; isSecond = true) {
        const used = await current(signal);
        try {
          return await used.link.run(what, deadlineMs, async (alive) => await work(used, alive), signal);
        } catch (error) {
          if (isSecond || !isGone(error)) throw error;
        }
      }
    });

  return { use, [Symbol.asyncDispose]: async () => await session?.link[Symbol.asyncDispose]() };
}
