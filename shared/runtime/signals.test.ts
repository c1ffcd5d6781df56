import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

const url = new URL('./signals.ts', import.meta.url).href;

/** A process that says when it listens and when it was asked to stop, and goes on until it is forced or `lets` go. */
function start(afterStop: string) {
  const program = `import { stopSignal } from '${url}';
    const signal = stopSignal();
    const timer = setInterval(() => {}, 1000);
    signal.addEventListener('abort', () => { console.log(signal.reason.code + ' ' + signal.reason.message); ${afterStop} });
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = async (): Promise<string> => String((await once(child.stdout, 'data'))[0]).trim();
  return { child, said };
}

for (const [name, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(`${name} asks, and a second one ends the process that does not`, async () => {
    const { child, said } = start('');
    assert.equal(await said(), 'ready');
    child.kill(name);
    assert.equal(await said(), `aborted ${name} asked docbus to stop.`);
    child.kill(name);
    assert.deepEqual(await once(child, 'exit'), [code, null]);
  });
}

test('a process that ends by itself after the first signal ends well', async () => {
  const { child, said } = start('clearInterval(timer)');
  assert.equal(await said(), 'ready');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
