import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCounter, createGauge, createHistogram, createRegistry } from './metrics.ts';

test('metrics carry the labels of their registry and their own', async () => {
  const registry = createRegistry({ replica: 'a' });
  createGauge(registry, { name: 'docbus_lag_records', help: 'x', labels: ['log'] }).set({ log: 'l' }, 7);
  assert.match(await registry.metrics(), /docbus_lag_records\{log="l",replica="a"\} 7/);
});

test('a gauge with a reader is read at every scrape', async () => {
  const registry = createRegistry({});
  let lag = 1;
  createGauge(registry, { name: 'docbus_lag_records', help: 'x', read: () => lag });
  assert.match(await registry.metrics(), /docbus_lag_records 1/);
  lag = 2;
  assert.match(await registry.metrics(), /docbus_lag_records 2/);
});

test('two registries in one process do not meet', async () => {
  const a = createRegistry({});
  const b = createRegistry({});
  const [first, second] = [a, b].map((registry) => createCounter(registry, { name: 'docbus_changes_total', help: 'x' }));
  first?.inc(3);
  second?.inc(5);
  createHistogram(a, { name: 'docbus_apply_seconds', help: 'x', buckets: [0.1, 1] }).observe(0.5);
  assert.match(await a.metrics(), /docbus_changes_total 3[^]*docbus_apply_seconds_bucket\{le="1"\} 1/);
  assert.match(await b.metrics(), /docbus_changes_total 5/);
  assert.doesNotMatch(await b.metrics(), /docbus_apply_seconds/);
});

test('memory and processor time of the process are shown', async () => {
  const text = await createRegistry({}).metrics();
  const cpu = Number(/^process_cpu_seconds_total (\S+)/m.exec(text)?.[1]);
  const rss = Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1]);
  assert.ok(cpu > 0 && cpu < 3600, `processor time ${cpu}`);
  assert.ok(rss > 1e7, `memory ${rss}`);
});
