import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { installOnce, withLock } from './cache.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-cache-'));
process.env['DOCBUS_CACHE'] = directory;
after(() => rmSync(directory, { recursive: true, force: true }));

test('several processes install a thing once', async () => {
  const script = join(directory, 'installer.ts');
  const made = join(directory, 'made.log');
  writeFileSync(
    script,
    `import { appendFileSync } from 'node:fs';
     import { setTimeout } from 'node:timers/promises';
     import { installOnce } from ${JSON.stringify(join(import.meta.dirname, 'cache.ts'))};
     await installOnce({ name: 'thing-1', make: async () => { appendFileSync(${JSON.stringify(made)}, 'made\\n'); await setTimeout(300); } });`,
  );
  await Promise.all([1, 2, 3].map(() => promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', script])));
  assert.equal(readFileSync(made, 'utf8'), 'made\n');
});

test('an installation that failed is made anew, from nothing', async () => {
  const failing = installOnce({
    name: 'broken-1',
    make: async (place) => {
      writeFileSync(join(place, 'half'), '');
      throw new Error('the network is gone');
    },
  });
  await assert.rejects(failing, /the network is gone/);
  const place = await installOnce({ name: 'broken-1', make: async (again) => assert.equal(existsSync(join(again, 'half')), false) });
  assert.equal(place, join(directory, 'broken-1'));
});

test('one holder at a time, also within a process, and a failed one lets go', async () => {
  let holders = 0;
  const hold = async (): Promise<void> => {
    assert.equal(++holders, 1);
    await new Promise((resolve) => setImmediate(resolve));
    holders--;
  };
  await assert.rejects(
    withLock('one', async () => {
      throw new Error('failed inside');
    }),
    /failed inside/,
  );
  await Promise.all([withLock('one', hold), withLock('one', hold), withLock('one', hold)]);
});
