import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock as clock } from '@docbus/runtime/clock.ts';
import { lockState } from './lock.ts';
import { openManifest } from './manifest.ts';

test('a second lock on a state directory is refused until the first is given back', (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-lock-'));
  t.after(() => rmSync(place, { recursive: true }));
  const stateDir = join(place, 'not', 'there', 'yet');
  const first = lockState({ stateDir });
  assert.throws(() => lockState({ stateDir }), { code: 'state_locked', message: new RegExp(stateDir) });
  first[Symbol.dispose]();
  lockState({ stateDir })[Symbol.dispose]();
});

test('a lock of a killed process is free, and of a living one is not', async (t) => {
  const stateDir = mkdtempSync(join(tmpdir(), 'docbus-lock-'));
  t.after(() => rmSync(stateDir, { recursive: true }));
  const code = `const { lockState } = await import(${JSON.stringify(new URL('./lock.ts', import.meta.url).href)});
    globalThis.held = lockState({ stateDir: ${JSON.stringify(stateDir)} }); console.log('locked'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  assert.throws(() => lockState({ stateDir }), { code: 'state_locked' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockState({ stateDir })[Symbol.dispose]();
});

test('a state directory that cannot be one is said so', (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-lock-'));
  t.after(() => rmSync(place, { recursive: true }));
  writeFileSync(join(place, 'file'), '');
  assert.throws(() => lockState({ stateDir: join(place, 'file') }), { code: 'disk_failed', message: /make it writable/ });
});

test('a state directory that was taken away is noticed, also where another was made in its place at once', (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-lock-'));
  t.after(() => rmSync(place, { recursive: true }));
  const stateDir = join(place, 'state');
  using lock = lockState({ stateDir });
  using manifest = openManifest({ directory: stateDir, clock });
  lock.check();
  manifest.checkPlace();
  rmSync(stateDir, { recursive: true });
  assert.throws(() => lock.check(), { code: 'state_removed' });
  assert.throws(() => manifest.checkPlace(), { code: 'state_removed' });
  mkdirSync(stateDir);
  for (const name of ['lock.db', 'manifest.db']) writeFileSync(join(stateDir, name), '');
  assert.throws(() => lock.check(), { code: 'state_removed' });
  assert.throws(() => manifest.checkPlace(), { code: 'state_removed' });
});
