import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSlug, workspaceKey } from '@docbus/core';
import { openManifest } from '@docbus/replica/manifest.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import type { Context } from './context.ts';
import { missSent } from './sent.ts';

const key = workspaceKey(parseSlug('w'));

function arrange(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-sent-'));
  t.after(() => rmSync(directory, { recursive: true }));
  let now = 1000;
  const clock = { ...systemClock, now: () => now };
  const manifest = openManifest({ directory, clock });
  t.after(() => manifest[Symbol.dispose]());
  const state = { awaited: undefined };
  const context = { manifest, clock, state, settings: { refillMs: 100 }, logger: { warn: () => {} } } as unknown as Context;
  const publish = (revision: number): void => {
    const version = { revision, replica: 'a' };
    manifest.record({ key, version, base: {}, state: 'deleted', hash: '', content: null, time: 0, applied: true, logged: true });
    manifest.setSent(key);
  };
  return { manifest, publish, reachEnd: () => missSent(context), wait: (ms: number) => void (now += ms) };
}

test('what the log acknowledged and never gave back is not in it', (t) => {
  const { manifest, publish, reachEnd, wait } = arrange(t);
  publish(1);
  assert.equal(manifest.entry(key)?.logged, true);
  reachEnd();
  wait(99);
  reachEnd();
  assert.equal(manifest.unloggedCount(), 0, 'a broker may show it a moment later');
  wait(1);
  reachEnd();
  assert.equal(manifest.unloggedCount(), 1);
});

test('what is put on disk again before it came back is still waited for', (t) => {
  const { manifest, publish, reachEnd, wait } = arrange(t);
  publish(1);
  const { applied, ...entry } = manifest.entry(key)!;
  manifest.record({ ...entry, applied: !applied });
  reachEnd();
  wait(100);
  reachEnd();
  assert.equal(manifest.unloggedCount(), 1);
});

test('what came back is waited for no longer', (t) => {
  const { manifest, publish, reachEnd, wait } = arrange(t);
  publish(1);
  reachEnd();
  manifest.setLogged(key, true);
  wait(1000);
  reachEnd();
  assert.deepEqual([manifest.unloggedCount(), manifest.sent()], [0, []]);
});

test('each change is waited for by itself, however often others follow it', (t) => {
  const { manifest, publish, reachEnd, wait } = arrange(t);
  publish(1);
  reachEnd();
  wait(60);
  publish(2);
  reachEnd();
  wait(60);
  reachEnd();
  assert.equal(manifest.unloggedCount(), 0, 'the second has been on its way for 60 ms');
  reachEnd();
  wait(100);
  reachEnd();
  assert.equal(manifest.unloggedCount(), 1);
});

test('a state from before a restart is not forgotten', (t) => {
  const { manifest, publish } = arrange(t);
  publish(1);
  assert.deepEqual(
    manifest.sent().map((entry) => entry.key),
    [key],
  );
  assert.equal(manifest.hasLogged(), true);
});
