// What a kafka:// URL says.
import type { ConnectionOptions } from 'node:tls';
import { DocbusError } from '@docbus/core';
import { booleanSetting, choiceSetting, numberSetting, parseBrokerUrl, tlsOf } from './broker-url.ts';
import type { KafkaSasl } from './kafka-client.ts';

export type KafkaSettings = {
  /** for people: without the password */
  readonly name: string;
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly partitions: number;
  /** -1: the broker's default.replication.factor */
  readonly replication: number;
  readonly mayCreate: boolean;
  readonly check: boolean;
  readonly clientId: string | undefined;
  readonly sasl: KafkaSasl | undefined;
  readonly tls: ConnectionOptions | undefined;
};

const KNOWN = ['partitions', 'replication', 'create', 'check', 'client', 'sasl', 'tls', 'ca', 'cert', 'key'];
const EXAMPLE =
  'kafka://user:password@kafka-1:9092,kafka-2:9092/docbus?sasl=scram-sha-512&tls=true&ca=/etc/docbus/ca.pem&partitions=1&replication=3';

/** Throws `config_invalid` naming what is wrong; reads the PEM files it names. */
export function parseKafkaUrl(text: string): KafkaSettings {
  const url = parseBrokerUrl(text, { example: EXAMPLE, port: 9092, known: KNOWN });
  const topic = url.path;
  if (!/^[a-zA-Z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..')
    throw new DocbusError(
      'config_invalid',
      `The log's URL names no Kafka topic after the slash (letters, digits, dot, dash, underscore). It looks like ${EXAMPLE}`,
    );
  const mechanism = choiceSetting(url, 'sasl', ['plain', 'scram-sha-256', 'scram-sha-512'], 'plain');
  if (url.settings.has('sasl') && (url.username === undefined || url.password === undefined))
    throw new DocbusError('config_invalid', `The log's URL has sasl= but no user:password@. It looks like ${EXAMPLE}`);
  return {
    name: url.name,
    brokers: url.hosts,
    topic,
    partitions: numberSetting(url, 'partitions', 1),
    replication: url.settings.has('replication') ? numberSetting(url, 'replication', 1) : -1,
    mayCreate: booleanSetting(url, 'create', true),
    check: booleanSetting(url, 'check', true),
    clientId: url.settings.get('client') ?? undefined,
    sasl: url.username === undefined ? undefined : { mechanism, username: url.username, password: url.password ?? '' },
    tls: tlsOf(url, booleanSetting(url, 'tls', false)),
  };
}
