import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { DocbusError } from '@docbus/core';
import { silentLogger, systemClock } from '@docbus/runtime';
import { openTestAgent } from './agent-for-tests.ts';
import { chromaTrouble, watchChroma } from './chroma-watch.ts';

const away = new DocbusError('chroma_unreachable', 'Chroma cannot be reached.');

test('Chroma going away and coming back is told once each, with the reason', async () => {
  const stop = new AbortController();
  const answers = [true, false, false, true, true, false];
  const vectors = {
    ready: async () => {
      const answer = answers.shift();
      if (answer === undefined) stop.abort();
      if (answer !== true) throw away;
    },
  };
  let now = 0;
  const clock = { ...systemClock, now: () => now, sleep: async (ms: number) => void (now += ms) };
  const said: unknown[] = [];
  const logger = {
    ...silentLogger,
    warn: (fields: object, message: string) => said.push(['warn', message, fields]),
    info: (fields: object, message: string) => said.push(['info', message, fields]),
  };
  await watchChroma({ vectors, clock, logger }, stop.signal);
  const gone = ['warn', 'Chroma is away: this replica cannot be searched until it is back', { code: away.code, reason: away.message }];
  assert.deepEqual(said, [gone, ['info', 'Chroma is back', { awayMs: 20_000 }], gone]);
});

test('a Chroma that hangs is not said to have been given up because of a stop', async () => {
  const vectors = {
    ready: async (signal: AbortSignal) => {
      if (!signal.aborted) await once(signal, 'abort');
      throw new DocbusError('aborted', 'because the agent stops');
    },
  };
  const trouble = await chromaTrouble(vectors, 1, new AbortController().signal);
  assert.equal(trouble?.code, 'chroma_unreachable');
  assert.match(trouble.message, /^Chroma did not answer within 0\.001 s\./);
});

test('an agent that has nothing to apply says that Chroma is away', async (t) => {
  const stop = new AbortController();
  const said: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (_: object, message: string) => {
      said.push(message);
      stop.abort();
    },
  };
  const refuse = async (): Promise<never> => await Promise.reject(away);
  const { loop } = openTestAgent(
    t,
    (options) => ({ ...options, replica: { ...options.replica, vectors: { ...options.replica.vectors, ready: refuse } } }),
    logger,
  );
  await loop.run(AbortSignal.any([stop.signal, t.signal]));
  assert.deepEqual(said, ['Chroma is away: this replica cannot be searched until it is back']);
});
