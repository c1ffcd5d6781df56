import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { createBell } from '@docbus/runtime';
import type { Agent } from './agent.ts';
import { openTestAgent } from './agent-for-tests.ts';
import type { Scope } from './context.ts';
import { createLoop } from './run.ts';

test('an edit made here does not wait for a look at the log, nor the log for a look at the storage', async (t) => {
  const { agent } = openTestAgent(t);
  const { log, clock, logger } = agent.context;
  const ending = new AbortController();
  t.after(() => ending.abort());
  const turns: string[] = [];
  let before: string | undefined;
  const step = (name: string) => async () => {
    if (before === undefined) before = name;
    else {
      turns.push(`${before}, ${name}`);
      before = undefined;
    }
    return { more: false, wakeAt: undefined };
  };
  /** The turns that `act` brings about; there may be more than one. */
  const turned = async (act: () => void): Promise<ReadonlySet<string>> => {
    turns.length = 0;
    act();
    for (let calm = 0, seen = 0; calm < 5; calm = seen > 0 && seen === turns.length ? calm + 1 : 0, seen = turns.length)
      await clock.sleep(10, ending.signal);
    return new Set(turns);
  };
  let hint: (() => void) | undefined;
  const hints = async function* (stop: AbortSignal): AsyncIterable<Scope> {
    while (!stop.aborted) {
      await Promise.race([new Promise<void>((resolve) => (hint = resolve)), once(stop, 'abort')]);
      if (!stop.aborted) yield { records: true };
    }
  };
  const watched: Agent = { ...agent, publishOnce: step('publish'), consumeOnce: step('consume') };
  const loop = createLoop({ agent: watched, log, hints, bell: createBell(), clock, logger, sweepMs: 60_000 });

  let running: Promise<void> | undefined;
  const first = await turned(() => {
    running = loop.run(ending.signal);
  });
  assert.deepEqual(first, new Set(['consume, publish']), 'nothing is published before the log was read');
  assert.ok((await turned(() => hint?.())).has('publish, consume'));
  const another = { key: 'workspace/w', value: new Uint8Array(), headers: {} };
  assert.deepEqual(await turned(() => void log.append([another], ending.signal)), new Set(['consume, publish']));
  ending.abort();
  await running;
});
