import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDocbusError } from '@docbus/core';
import { readAgentConfig, readAgentSettings } from './config.ts';

const least = { DOCBUS_LOG: 'sqlite:/log.db', STORAGE_DIR: '/storage' };
const read = (more: Record<string, string> = {}) => readAgentConfig({ ...least, ...more }, 'machine-1');

function problemsOf(environment: Record<string, string>, host = 'machine-1'): string[] {
  try {
    readAgentConfig(environment, host);
  } catch (error) {
    assert.ok(isDocbusError(error, 'config_invalid'));
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

test('an address of the log and a storage are enough', () => {
  assert.deepEqual(read(), {
    replica: 'machine-1',
    log: 'sqlite:/log.db',
    secrets: [],
    storageDir: '/storage',
    databaseFile: '/storage/anythingllm.db',
    stateDir: '/storage/docbus',
    chroma: { endpoint: 'http://localhost:8000', headers: {} },
    embedder: { engine: 'native', model: 'Xenova/all-MiniLM-L6-v2' },
    sweepMs: 300_000,
    settleMs: 1000,
    deleteGuard: { count: 10, share: 0.2 },
    http: { host: '127.0.0.1', port: 4510 },
    logLevel: 'info',
    documentBytesMax: 268_435_456,
    polling: false,
  });
});

test('without settings the error names both that are needed, with examples', () => {
  assert.deepEqual(problemsOf({}), [
    'DOCBUS_LOG is not set. It is the address of the log that all replicas share, for example sqlite:/var/lib/docbus/log.db',
    'DOCBUS_STORAGE_DIR or STORAGE_DIR is not set. It is the storage directory of this AnythingLLM, for example /app/server/storage',
  ]);
});

test('every setting that is wrong is named once', () => {
  const wrong = {
    DOCBUS_REPLICA: 'a b',
    DOCBUS_LOG: '/no/scheme',
    CHROMA_ENDPOINT: 'localhost:8000',
    CHROMA_API_HEADER: 'two words',
    VECTOR_DB: 'lancedb',
    DOCBUS_SWEEP_MS: '5m',
    DOCBUS_SETTLE_MS: '-1',
    DOCBUS_DELETE_GUARD: '10,120%',
    DOCBUS_HTTP: '4510',
    DOCBUS_TOKEN: 'short',
    DOCBUS_LOG_LEVEL: 'loud',
    DOCBUS_DOCUMENT_BYTES_MAX: '1 GB',
    DOCBUS_POLLING: 'perhaps',
  };
  const problems = problemsOf({ ...least, ...wrong });
  assert.deepEqual(problems.map((problem) => /^\w+/.exec(problem)?.[0] ?? problem).toSorted(), Object.keys(wrong).toSorted());
  for (const problem of problems) assert.match(problem, /, for example \S/);
});

test('a host name that cannot be a replica id asks for one', () => {
  assert.match(problemsOf(least, 'my host').join(), /DOCBUS_REPLICA=my host must be/);
});

test('a misspelt variable is named together with the one that was meant', () => {
  assert.deepEqual(problemsOf({ ...least, DOCBUS_SWEEPMS: '1' }), [
    'DOCBUS_SWEEPMS is not a setting of docbus. Did you mean DOCBUS_SWEEP_MS?',
  ]);
  assert.deepEqual(problemsOf({ ...least, DOCBUS_AGENTS: 'http://a:4510', DOCBUS_TEST_X: '1' }), []);
});

test('the state may lie anywhere but where AnythingLLM keeps files, and not around the storage', () => {
  for (const wrong of ['/storage/documents', '/storage/documents/a', '/storage/vector-cache/../vector-cache', '/storage', '/'])
    assert.match(problemsOf({ ...least, DOCBUS_STATE_DIR: wrong }).join(), /^DOCBUS_STATE_DIR=/, wrong);
  for (const right of ['/storage/docbus', '/storage/documents-state', '/state', '/storage2/documents'])
    assert.equal(read({ DOCBUS_STATE_DIR: right }).stateDir, right);
});

test('the key for Chroma is sent as AnythingLLM sends it: as Bearer in Authorization', () => {
  assert.deepEqual(read({ CHROMA_API_KEY: 'k', CHROMA_API_HEADER: 'X-Api-Key' }).chroma.headers, { 'X-Api-Key': 'k' });
  assert.deepEqual(read({ CHROMA_API_KEY: 'k', CHROMA_API_HEADER: 'Authorization' }).chroma.headers, { Authorization: 'Bearer k' });
});

test('a key for Chroma without a header, or a header without a key, is refused, and the key is not told', () => {
  assert.deepEqual(problemsOf({ ...least, CHROMA_API_KEY: 'hush' }), [
    'CHROMA_API_KEY is set without CHROMA_API_HEADER; set both or neither, for example CHROMA_API_HEADER=Authorization',
  ]);
  assert.deepEqual(problemsOf({ ...least, CHROMA_API_HEADER: 'X-Api-Key' }), [
    'CHROMA_API_HEADER is set without CHROMA_API_KEY; set both or neither',
  ]);
});

test("what is wrong in a broker's address is named with the other settings, and a log that nobody else sees is refused", () => {
  for (const [log, words] of [
    ['kafka://b:9092', /no Kafka topic/],
    ['kafka://b:9092/docs?foo=1', /unknown setting foo/],
    ['kafka://b:99999/docs', /port that is not between/],
    ['amqp://u:hush@b:xx', /host:port/],
    ['amqp://u:hush@b?strem=x', /unknown setting strem/],
    ['memory:', /not the address of a log/],
  ] as const) {
    const problems = problemsOf({ ...least, DOCBUS_LOG: log, DOCBUS_SWEEP_MS: '5m' });
    assert.equal(problems.length, 2);
    assert.match(problems[0] ?? '', words);
    assert.doesNotMatch(problems.join(), /hush/);
  }
});

test('the model in force is the same however the settings say it', () => {
  const model = (more: Record<string, string>) => read(more).embedder.model;
  assert.equal(model({ EMBEDDING_MODEL_PREF: 'not a native model' }), 'Xenova/all-MiniLM-L6-v2');
  assert.equal(model({ EMBEDDING_MODEL_PREF: 'Xenova/nomic-embed-text-v1' }), 'Xenova/nomic-embed-text-v1');
  assert.equal(
    model({ EMBEDDING_ENGINE: 'openai' }),
    model({ EMBEDDING_ENGINE: 'openai', EMBEDDING_MODEL_PREF: 'text-embedding-ada-002' }),
  );
  assert.equal(model({ EMBEDDING_ENGINE: 'ollama', EMBEDDING_MODEL_PREF: 'bge-m3' }), 'bge-m3');
});

test('addresses may be names, IPv4 and IPv6', () => {
  assert.deepEqual(read({ DOCBUS_HTTP: '0.0.0.0:0' }).http, { host: '0.0.0.0', port: 0 });
  assert.deepEqual(read({ DOCBUS_HTTP: '[::1]:4510' }).http, { host: '::1', port: 4510 });
  assert.deepEqual(read({ DOCBUS_HTTP: 'agent-1:65535' }).http, { host: 'agent-1', port: 65_535 });
  assert.equal(problemsOf({ ...least, DOCBUS_HTTP: 'agent-1:65536' }).length, 1);
});

test('the guard takes a count and a share', () => {
  assert.deepEqual(read({ DOCBUS_DELETE_GUARD: '3, 50%' }).deleteGuard, { count: 3, share: 0.5 });
});

test("polling can be asked for by chokidar's own variable", () => {
  assert.equal(read({ CHOKIDAR_USEPOLLING: '1' }).polling, true);
  assert.equal(read({ CHOKIDAR_USEPOLLING: '1', DOCBUS_POLLING: 'false' }).polling, false);
});

test('origins show what is derived as a default, and no secret', () => {
  const { origins } = readAgentSettings(
    { ...least, DOCBUS_TOKEN: 'hush-hush', CHROMA_API_KEY: 'hush', CHROMA_API_HEADER: 'X-Api-Key', DOCBUS_LOG: 'amqp://me:hush@host' },
    'm',
  );
  const shown = Object.fromEntries(origins.map(({ name, from, shown: text }) => [name, [from, text]]));
  assert.deepEqual(shown.DOCBUS_STATE_DIR, ['default', '/storage/docbus']);
  assert.deepEqual(shown.STORAGE_DIR, ['environment', '/storage']);
  assert.deepEqual(shown.DOCBUS_TOKEN, ['environment', '***']);
  assert.doesNotMatch(JSON.stringify(origins), /hush/);
});

const secret = '0123456789abcdef0123456789abcdef';

test('secrets come from a variable or a file, one or several, and are never shown', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'secret');
  writeFileSync(file, `${secret}\nx${secret}\n`);
  assert.deepEqual(read({ DOCBUS_SECRET: secret }).secrets, [secret]);
  assert.deepEqual(read({ DOCBUS_SECRET: `${secret},x${secret}` }).secrets, [secret, `x${secret}`]);
  assert.deepEqual(read({ DOCBUS_SECRET_FILE: file }).secrets, [secret, `x${secret}`]);
  const { origins } = readAgentSettings({ ...least, DOCBUS_SECRET: secret }, 'machine-1');
  assert.equal(origins.find(({ name }) => name === 'DOCBUS_SECRET')?.shown, '***');
});

test('a secret that is too short, a file that is not there and both at once are refused without telling the secret', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'secret');
  writeFileSync(file, '\n');
  const wrong = (settings: Record<string, string>): string => problemsOf({ ...least, ...settings }).join('\n');
  assert.equal(
    wrong({ DOCBUS_SECRET: 'hunter2' }),
    'DOCBUS_SECRET holds a secret (1 of 1) of 7 characters; 32 to 1024 are needed, for example the output of: openssl rand -hex 32',
  );
  assert.equal(wrong({ DOCBUS_SECRET_FILE: file }), `DOCBUS_SECRET_FILE=${file} holds no secret, for example /run/secrets/docbus`);
  assert.match(wrong({ DOCBUS_SECRET_FILE: `${file}-not` }), /^DOCBUS_SECRET_FILE=.* cannot be read \(ENOENT\)/);
  writeFileSync(file, secret);
  assert.equal(
    wrong({ DOCBUS_SECRET: secret, DOCBUS_SECRET_FILE: file }),
    'DOCBUS_SECRET and DOCBUS_SECRET_FILE are both set; keep one of them',
  );
});

test('a file where a directory is needed is refused, and what is not there yet is not', (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-config-'));
  t.after(() => rmSync(place, { recursive: true }));
  const file = join(place, 'storage.tar');
  writeFileSync(file, '');
  mkdirSync(join(place, 'storage'));
  for (const wrong of [file, join(file, 'storage')])
    assert.deepEqual(problemsOf({ ...least, STORAGE_DIR: wrong }), [
      `STORAGE_DIR=${wrong} is not a directory, for example /app/server/storage`,
    ]);
  assert.match(problemsOf({ ...least, DOCBUS_STATE_DIR: file }).join(), /^DOCBUS_STATE_DIR=.* is not a directory/);
  for (const fine of [join(place, 'storage'), join(place, 'not-mounted')]) assert.equal(read({ STORAGE_DIR: fine }).storageDir, fine);
});
