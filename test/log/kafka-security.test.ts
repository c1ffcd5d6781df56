// Logging in to Kafka, TLS, rights; and that what is wrong is said so that an operator can mend it.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDocbusError, type ErrorCode } from '@docbus/core';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { makeCertificates, type Certificates } from '../servers/certificates.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { runKafkaTool, type KafkaTool } from '../servers/kafka-tools.ts';

const never = new AbortController().signal;
const record = { key: 'a', value: Buffer.from('a'), headers: {} };
const limits = { recordsMax: 10, bytesMax: 1 << 20 };

describe('a secured Kafka', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-kafka-security-'));
  let server: KafkaServer;
  let certificates: Certificates;
  before(async () => {
    mkdirSync(join(directory, 'certificates'));
    certificates = await makeCertificates(join(directory, 'certificates'));
    server = await startKafka({
      directory: join(directory, 'kafka'),
      own: true,
      users: { alice: 'p@ss/word', bob: 'bob' },
      tls: { ca: certificates.ca, keyAndCertificate: certificates.server.both },
    });
    const acl = ['--bootstrap-server', server.address, '--add', '--allow-principal', 'User:alice'];
    await runKafkaTool('kafka-acls', [...acl, '--operation', 'All', '--topic', '*', '--group', '*', '--cluster']);
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const open = async (url: string) => await openKafkaLog({ url, replica: 'a', clock: systemClock }, never);
  const works = async (url: string): Promise<void> => {
    await using log = await open(url);
    await log.append([record], never);
    const [read] = await log.read(undefined, limits, never);
    assert.equal(read?.key, 'a');
    assert.ok(read);
    await log.report(read.position, never);
  };
  const refused = async (url: string, code: ErrorCode, words: RegExp): Promise<Error> => {
    await using log = await open(url);
    const error: unknown = await log.append([record], never).catch((reason: unknown) => reason);
    assert.ok(isDocbusError(error, code), String(error));
    assert.match(error.message, words);
    assert.doesNotMatch(error.message + log.name, /p@ss|p%40ss|wrong-password/, 'no message holds a password');
    return error;
  };
  const alice = 'alice:p%40ss%2Fword';
  const sasl = (user: string, mechanism: string, topic: string = randomUUID()): string =>
    `kafka://${user}@${server.saslAddress}/${topic}?sasl=${mechanism}`;

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'])
    test(`a login with ${mechanism} works, and one with a wrong password is refused by name`, async () => {
      await works(sasl(alice, mechanism));
      await refused(sasl('alice:wrong-password', mechanism), 'log_refused', /alice.*log's URL/);
    });

  test('no login where one is wanted, and a login where none is', async () => {
    await refused(`kafka://${server.saslAddress}/t`, 'log_unreachable', /closed the connection.*login/);
    await refused(`kafka://${alice}@${server.address}/t`, 'log_refused', /login/);
  });

  test('a user without rights is told which, and the commands in the messages give them', async () => {
    const topic = randomUUID();
    await works(sasl(alice, 'plain', topic));
    const url = sasl('bob:bob', 'plain', topic);
    const refusals: string[] = [];
    for (let attempt = 0; attempt < 4; attempt++) {
      try {
        await works(url);
        break;
      } catch (error) {
        assert.ok(isDocbusError(error, 'log_refused'), String(error));
        refusals.push(error.message);
        const [, tool = '', args = ''] = /\b(kafka-[a-z]+)\.sh (.*)$/.exec(error.message) ?? [];
        await runKafkaTool(tool as KafkaTool, args.replace(server.saslAddress, server.address).split(' '));
      }
    }
    assert.ok(refusals.length > 0 && refusals.length < 4, refusals.join('\n'));
    assert.match(refusals[0] ?? '', new RegExp(`bob use the topic ${topic}`));
  });

  test('TLS with a client certificate works; without one, or with another authority, it says what to check', async () => {
    const url = `kafka://${server.tlsAddress}/${randomUUID()}`;
    const { ca, client, server: own } = certificates;
    await refused(`${url}?ca=${ca}`, 'log_refused', /TLS.*cert=/);
    await refused(`${url}?tls=true`, 'log_refused', /TLS.*ca=/);
    await refused(`${url}?ca=${own.certificate}&cert=${client.certificate}&key=${client.key}`, 'log_refused', /TLS.*ca=/);
    await using log = await open(`${url}?ca=${ca}&cert=${client.certificate}&key=${client.key}`);
    // The TLS user has no rights here: that he is refused by name of the topic shows that he came in.
    await assert.rejects(log.append([record], never), (error) => isDocbusError(error, 'log_refused') && /topic/.test(error.message));
    await refused(`kafka://${server.address}/t?ca=${ca}`, 'log_refused', /TLS/);
    await refused(`kafka://${server.tlsAddress}/t`, 'log_unreachable', /TLS/);
  });
});
