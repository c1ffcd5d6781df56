import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDocbusError } from '@docbus/core';
import { parseKafkaUrl } from './kafka-url.ts';
import { parseRabbitUrl } from './rabbitmq-url.ts';

const invalid = (parse: () => unknown, words: RegExp) =>
  assert.throws(parse, (error) => isDocbusError(error, 'config_invalid') && words.test(error.message) && !/secret/.test(error.message));

test('a Kafka URL names brokers, topic, user and settings', () => {
  const settings = parseKafkaUrl(
    'kafka://alice:s%3Aecret@one:9092,two:9093,three/docs?sasl=scram-sha-512&partitions=3&replication=2&create=false&client=me',
  );
  assert.deepEqual(settings.brokers, ['one:9092', 'two:9093', 'three:9092']);
  assert.deepEqual(settings.sasl, { mechanism: 'scram-sha-512', username: 'alice', password: 's:ecret' });
  assert.equal(settings.name, 'kafka://alice@one:9092,two:9093,three/docs');
  const { topic, partitions, replication, mayCreate, check, clientId, tls } = settings;
  assert.deepEqual(
    { topic, partitions, replication, mayCreate, check, clientId, tls },
    { topic: 'docs', partitions: 3, replication: 2, mayCreate: false, check: true, clientId: 'me', tls: undefined },
  );
});

test('what is wrong in a Kafka URL is named, without the password', () => {
  const login = 'kafka://alice:secret@host';
  invalid(() => parseKafkaUrl(`${login}:9092`), /no Kafka topic/);
  invalid(() => parseKafkaUrl(`${login}/a/b`), /no Kafka topic/);
  invalid(() => parseKafkaUrl(`${login}:99x/t`), /host:port/);
  for (const port of [0, 65_536, 99_999]) invalid(() => parseKafkaUrl(`${login}:${port}/t`), /port that is not between 1 and 65535/);
  invalid(() => parseKafkaUrl('kafka://[::1]:9092/t'), /host:port/);
  invalid(() => parseKafkaUrl(`${login}/t?partition=3`), /unknown setting partition;/);
  invalid(() => parseKafkaUrl(`${login}/t?partitions=0`), /partitions=0/);
  invalid(() => parseKafkaUrl(`${login}/t?sasl=md5`), /plain, scram-sha-256/);
  invalid(() => parseKafkaUrl('kafka://host/t?sasl=plain'), /no user/);
  invalid(() => parseKafkaUrl(`${login}/t?tls=yes`), /tls=yes/);
  invalid(() => parseKafkaUrl(`${login}/t?ca=/no/such/file.pem`), /\/no\/such\/file\.pem/);
  invalid(() => parseKafkaUrl('kafka://alice:%zz@host/t'), /%/);
});

test('a RabbitMQ URL names hosts, virtual host, stream and what the stream is declared with', () => {
  const settings = parseRabbitUrl('amqp://alice:secret@one,two:5673/docs%2Fone?stream=log&max-age=90D&max-bytes=1000000000');
  assert.deepEqual(settings.hosts, ['one:5672', 'two:5673']);
  assert.equal(settings.vhost, 'docs/one');
  assert.equal(settings.name, 'amqp://alice@one,two:5673/docs%2Fone?stream=log');
  assert.deepEqual(settings.arguments, { 'x-queue-type': 'stream', 'x-max-age': '90D', 'x-max-length-bytes': 1_000_000_000 });
  for (const none of ['amqp://host', 'amqp://host/', 'amqp://host?stream=docbus']) {
    const { vhost, stream, username } = parseRabbitUrl(none);
    assert.deepEqual({ vhost, stream, username }, { vhost: '/', stream: 'docbus', username: undefined });
  }
  assert.deepEqual(parseRabbitUrl('amqps://host').hosts, ['host:5671']);
});

test('what is wrong in a RabbitMQ URL is named, without the password', () => {
  const login = 'amqp://alice:secret@host/';
  invalid(() => parseRabbitUrl(`${login}?stream=`), /no stream/);
  invalid(() => parseRabbitUrl(`${login}?stream=amq.direct`), /no stream/);
  invalid(() => parseRabbitUrl(`${login}?max-age=ninety`), /max-age=ninety/);
  invalid(() => parseRabbitUrl(`${login}?heartbeat=5`), /unknown setting heartbeat/);
});

test('certificates are read from the files that are named, and mean TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-url-'));
  try {
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, 'PEM');
    assert.deepEqual(parseKafkaUrl(`kafka://host/t?ca=${ca}`).tls, { ca: Buffer.from('PEM') });
    assert.deepEqual(parseKafkaUrl('kafka://host/t?tls=true').tls, {});
    assert.deepEqual(parseRabbitUrl(`amqps://host/?ca=${ca}`).tls, { ca: Buffer.from('PEM') });
    invalid(() => parseRabbitUrl(`amqp://host/?ca=${ca}`), /begins with amqp:/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
