// Logging in to RabbitMQ, TLS, rights, and queues that are not what docbus needs: what is wrong is said so that an operator can mend it.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Channel } from 'amqplib';
import { isDocbusError, type ErrorCode } from '@docbus/core';
import { openRabbitLog } from '@docbus/log/rabbitmq.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { makeCertificates, type Certificates } from '../servers/certificates.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';

const never = new AbortController().signal;
const record = (key: string) => ({ key, value: Buffer.from(key), headers: {} });
const limits = { recordsMax: 10, bytesMax: 1 << 20 };

describe('a secured RabbitMQ', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-rabbitmq-security-'));
  let server: RabbitServer;
  let certificates: Certificates;
  before(async () => {
    mkdirSync(join(directory, 'certificates'));
    certificates = await makeCertificates(join(directory, 'certificates'));
    const tls = { ca: certificates.ca, ...certificates.server };
    server = await startRabbit({ directory: join(directory, 'rabbitmq'), own: true, tls, settings: { max_message_size: '500000' } });
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const open = async (url: string) => await openRabbitLog({ url, replica: 'a', clock: systemClock }, never);
  const works = async (url: string): Promise<void> => {
    await using log = await open(url);
    await log.append([record('a')], never);
    assert.equal((await log.read(undefined, limits, never))[0]?.key, 'a');
  };
  const refused = async (url: string, code: ErrorCode, words: RegExp, key = 'a'): Promise<string> => {
    await using log = await open(url);
    const error: unknown = await log.append([record(key)], never).catch((reason: unknown) => reason);
    assert.ok(isDocbusError(error, code), String(error));
    assert.match(error.message, words);
    assert.doesNotMatch(error.message + log.name, /p@ss|p%40ss|wrong-password/, 'no message holds a password');
    return error.message;
  };
  const url = (user = 'guest:guest', vhost = '', settings = `stream=${randomUUID()}`): string =>
    `amqp://${user}@127.0.0.1:${server.port}/${vhost}?${settings}`;
  const declare = async (work: (channel: Channel) => Promise<unknown>): Promise<void> => {
    const connection = await connect(server.url);
    await work(await connection.createChannel());
    await connection.close();
  };

  test('a user of a virtual host works; a wrong password and a missing virtual host are named', async () => {
    await server.control(['add_vhost', 'docs/one']);
    await server.control(['add_user', 'alice', 'p@ss/word']);
    await server.control(['set_permissions', '-p', 'docs/one', 'alice', '.*', '.*', '.*']);
    await works(url('alice:p%40ss%2Fword', 'docs%2Fone'));
    await refused(url('alice:wrong-password', 'docs%2Fone'), 'log_refused', /alice.*password.*log's URL/);
    await refused(url('alice:p%40ss%2Fword', 'nowhere'), 'log_refused', /virtual host nowhere/);
    await refused(url('alice:p%40ss%2Fword'), 'log_refused', /virtual host \//);
  });

  test('a user without rights is told which, and the command in the message gives them', async () => {
    await server.control(['add_user', 'bob', 'bob']);
    await server.control(['set_permissions', 'bob', '^$', '^$', '^$']);
    const stream = `docbus-${randomUUID()}`;
    await works(url('guest:guest', '', `stream=${stream}`));
    const message = await refused(url('bob:bob', '', `stream=${stream}`), 'log_refused', /bob.*rabbitmqctl set_permissions/);
    const [, args = ''] = /rabbitmqctl (set_permissions .*)$/.exec(message) ?? [];
    await server.control(args.split(' ').map((part) => part.replaceAll("'", '').replaceAll('\\\\', '\\')));
    await works(url('bob:bob', '', `stream=${stream}`));
  });

  test('a queue of another kind, or with other arguments, is refused with the name of the argument', async () => {
    const [classic, aged] = [randomUUID(), randomUUID()];
    await declare((channel) => channel.assertQueue(classic, { durable: true }));
    await refused(url(undefined, '', `stream=${classic}`), 'log_refused', /x-queue-type/);
    await declare((channel) => channel.assertQueue(aged, { durable: true, arguments: { 'x-queue-type': 'stream', 'x-max-age': '7D' } }));
    await refused(url(undefined, '', `stream=${aged}`), 'log_refused', /x-max-age.*max-age/);
    await works(url(undefined, '', `stream=${aged}&max-age=7D`));
    await works(url(undefined, '', `stream=${aged}&create=false`));
    await refused(url(undefined, '', `stream=${randomUUID()}&create=false`), 'log_refused', /has no stream/);
    await refused(url(undefined, '', `stream=${classic}&create=false`), 'log_refused', /as a stream/);
  });

  test('TLS with a client certificate works; without one, or with another authority, it says what to check', async () => {
    const tls = `${server.tlsUrl}/?stream=${randomUUID()}`;
    const { ca, client, server: own } = certificates;
    await works(`${tls}&ca=${ca}&cert=${client.certificate}&key=${client.key}`);
    await refused(`${tls}&ca=${ca}`, 'log_refused', /TLS.*cert=/);
    await refused(tls, 'log_refused', /TLS.*ca=/);
    await refused(`${tls}&ca=${own.certificate}&cert=${client.certificate}&key=${client.key}`, 'log_refused', /TLS.*ca=/);
    await refused(tls.replace('amqps:', 'amqp:'), 'log_unreachable', /TLS/);
  });

  test('a record that the broker does not take is refused by the name of the setting', async () => {
    await using log = await open(url());
    await log.append([record('before')], never);
    const large = { key: 'large', value: Buffer.alloc(600_000), headers: {} };
    await assert.rejects(
      log.append([large], never),
      (error) => isDocbusError(error, 'record_too_large') && /max_message_size/.test(error.message),
    );
    await log.append([record('after')], never);
    assert.deepEqual(
      (await log.read(undefined, limits, never)).map(({ key }) => key),
      ['before', 'after'],
    );
  });
});
