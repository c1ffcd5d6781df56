// Is Chroma there? Asked at every question about health, and by the agent itself: where nothing is to be applied, no step would notice
// that searches fail, and nobody would be told.
import { isDocbusError, reasonOf } from '@docbus/core';
import type { Vectors } from '@docbus/replica/port.ts';
import type { Clock, Logger } from '@docbus/runtime';

export type ChromaWatchOptions = { readonly vectors: Pick<Vectors, 'ready'>; readonly clock: Clock; readonly logger: Logger };

/** Longer than a server that is filled needs for a heartbeat: what is logged should be worth getting up for. */
const ANSWER_MS = 10_000;
const LOOK_MS = 10_000;

/** Why Chroma is not ready, undefined where it is. Never rejects. */
export async function chromaTrouble(
  vectors: Pick<Vectors, 'ready'>,
  answerMs: number,
  signal: AbortSignal,
): Promise<{ readonly code: string; readonly message: string } | undefined> {
  const late = AbortSignal.timeout(answerMs);
  try {
    await vectors.ready(AbortSignal.any([signal, late]));
    return undefined;
  } catch (error) {
    // To the driver both signals are one, and it would speak of a stop.
    if (late.aborted && !signal.aborted)
      return {
        code: 'chroma_unreachable',
        message: `Chroma did not answer within ${answerMs / 1000} s. Look whether it is overloaded or hangs.`,
      };
    return { code: isDocbusError(error) ? error.code : 'internal', message: reasonOf(error) };
  }
}

/** Tells once that Chroma went away and once that it is back. Beside the steps, which may wait for Chroma themselves. Resolves when the signal aborts. */
export async function watchChroma({ vectors, clock, logger }: ChromaWatchOptions, signal: AbortSignal): Promise<void> {
  let since: number | undefined;
  while (!signal.aborted) {
    const trouble = await chromaTrouble(vectors, ANSWER_MS, signal);
    if (signal.aborted) return;
    if (trouble !== undefined && since === undefined) {
      since = clock.now();
      logger.warn({ code: trouble.code, reason: trouble.message }, 'Chroma is away: this replica cannot be searched until it is back');
    } else if (trouble === undefined && since !== undefined) {
      logger.info({ awayMs: clock.now() - since }, 'Chroma is back');
      since = undefined;
    }
    await clock.sleep(LOOK_MS, signal).catch(() => undefined); // aborted: the condition of the loop says so
  }
}
