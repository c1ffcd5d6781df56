import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freePort, runProcess, spawnProcess, startProcess, waitFor } from './process.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-process-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const LISTEN = 'require("net").createServer().listen(+process.argv[1], "127.0.0.1", () => console.log("listening"))';

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // a zombie that nobody has collected yet is dead for our purposes
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a started process is ready, writes to its file and ends on stop', async () => {
  const port = await freePort();
  const output = join(directory, 'listen.log');
  await using running = await startProcess({
    name: 'listener',
    command: process.execPath,
    args: ['-e', LISTEN, String(port)],
    output,
    ready: () => answers(port),
  });
  assert.equal(isAlive(running.pid), true);
  const end = await running.stop();
  assert.equal(end.signal, 'SIGTERM');
  assert.equal(await answers(port), false);
  assert.match(running.tail(), /listening/);
});

test('a process that ignores the polite signal is killed', async () => {
  const output = join(directory, 'stubborn.log');
  await using running = await startProcess({
    name: 'stubborn',
    command: process.execPath,
    args: ['-e', 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)'],
    output,
    ready: async () => readFileSync(output, 'utf8').includes('up'),
    stopMs: 50,
  });
  assert.equal((await running.stop()).signal, 'SIGKILL');
});

test('a process that ends before it is ready is an error with its output', async () => {
  const started = startProcess({
    name: 'failing',
    command: process.execPath,
    args: ['-e', 'console.error("no such setting"); process.exit(3)'],
    output: join(directory, 'failing.log'),
    ready: async () => false,
  });
  await assert.rejects(started, /failing ended before it was ready \(exit code 3\)[^]*no such setting/);
});

test('a process that is never ready is an error, and it is not left running', async () => {
  const output = join(directory, 'never.log');
  const started = startProcess({
    name: 'never',
    command: process.execPath,
    args: ['-e', 'console.log(process.pid); setInterval(() => {}, 1000)'],
    output,
    ready: async () => false,
    readyMs: 300,
  });
  await assert.rejects(started, /never is not ready after 300 ms/);
  assert.equal(isAlive(Number(readFileSync(output, 'utf8').trim())), false);
});

test('a missing command is an error that names it', () => {
  assert.throws(
    () => spawnProcess({ name: 'nothing', command: join(directory, 'nothing'), args: [], output: join(directory, 'x.log') }),
    /nothing could not be started/,
  );
});

test('a command that fails is an error with the end of its output', async () => {
  const run = runProcess({ name: 'sh', command: '/bin/sh', args: ['-c', 'echo broken; exit 4'], output: join(directory, 'sh.log') });
  await assert.rejects(run, /exit code 4[^]*broken/);
});

test('children die with a parent that is killed', async () => {
  const script = join(directory, 'parent.ts');
  writeFileSync(
    script,
    `import { spawnProcess } from ${JSON.stringify(join(import.meta.dirname, 'process.ts'))};
     const start = () => spawnProcess({ name: 'child', command: 'sleep', args: ['1000'], output: ${JSON.stringify(join(directory, 'sleep.log'))} });
     const stopped = start();
     const kept = start();
     await stopped.stop();
     console.log(kept.pid);
     setInterval(() => {}, 1000);`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))));
  assert.equal(isAlive(pid), true);
  parent.kill('SIGKILL');
  await waitFor('the child to die', () => !isAlive(pid), { deadlineMs: 5_000 });
});

test('the directory of a process that is killed is removed, with what its children still write there', async () => {
  const left = join(directory, 'left behind');
  const script = join(directory, 'leaver.ts');
  writeFileSync(
    script,
    `import { removeAfterDeath, spawnProcess } from ${JSON.stringify(join(import.meta.dirname, 'process.ts'))};
     const [name, output] = ['child', ${JSON.stringify(join(left, 'out.log'))}];
     removeAfterDeath(${JSON.stringify(left)});
     spawnProcess({ name, command: '/bin/sh', args: ['-c', 'while :; do mkdir -p "$0/again"; done', ${JSON.stringify(left)}], output });
     console.log('up');
     setInterval(() => {}, 1000);`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => parent.stdout.once('data', resolve));
  await waitFor('the child to write', () => existsSync(join(left, 'again')), { deadlineMs: 5_000 });
  parent.kill('SIGKILL');
  await waitFor('the directory to be gone', () => !existsSync(left), { deadlineMs: 5_000 });
});

test('waiting in vain names what was waited for and the last error', async () => {
  const waiting = waitFor(
    'the impossible',
    () => {
      throw new Error('still not');
    },
    { deadlineMs: 20, everyMs: 5 },
  );
  await assert.rejects(waiting, (error: Error) => /the impossible/.test(error.message) && (error.cause as Error).message === 'still not');
});
