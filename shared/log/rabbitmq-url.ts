// What an amqp:// or amqps:// URL says.
import type { ConnectionOptions } from 'node:tls';
import { DocbusError } from '@docbus/core';
import { booleanSetting, numberSetting, parseBrokerUrl, tlsOf } from './broker-url.ts';

export type RabbitSettings = {
  /** for people: without the password */
  readonly name: string;
  /** `host:port`, tried in turn */
  readonly hosts: readonly string[];
  /** undefined: RabbitMQ's guest */
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly vhost: string;
  readonly stream: string;
  readonly mayCreate: boolean;
  /** what the stream is declared with, beside being a durable stream; RabbitMQ refuses to declare it with anything else later */
  readonly arguments: Readonly<Record<string, string | number>>;
  readonly tls: ConnectionOptions | undefined;
};

const KNOWN = ['stream', 'create', 'max-age', 'max-bytes', 'segment-bytes', 'replicas', 'ca', 'cert', 'key'];
const EXAMPLE = 'amqps://user:password@rabbitmq-1:5671,rabbitmq-2:5671/vhost?stream=docbus&ca=/etc/docbus/ca.pem';

/** Throws `config_invalid` naming what is wrong; reads the PEM files it names. */
export function parseRabbitUrl(text: string): RabbitSettings {
  const isTls = /^amqps:/i.test(text);
  const url = parseBrokerUrl(text, { example: EXAMPLE, port: isTls ? 5671 : 5672, known: KNOWN });
  const tls = tlsOf(url, isTls);
  if (tls !== undefined && !isTls)
    throw new DocbusError('config_invalid', `The log's URL names certificates but begins with amqp:. It looks like ${EXAMPLE}`);
  const stream = url.settings.get('stream') ?? 'docbus';
  if (stream === '' || Buffer.byteLength(stream) > 255 || stream.startsWith('amq.'))
    throw new DocbusError(
      'config_invalid',
      `The log's URL names no stream (1 to 255 bytes, not beginning with amq.). It looks like ${EXAMPLE}`,
    );
  const maxAge = url.settings.get('max-age');
  if (maxAge !== null && !/^\d+[YMDhms]$/.test(maxAge))
    throw new DocbusError('config_invalid', `The setting max-age=${maxAge} of the log's URL is no time such as 90D (Y, M, D, h, m, s).`);
  const number = (setting: string, argument: string) => (url.settings.has(setting) ? { [argument]: numberSetting(url, setting, 1) } : {});
  return {
    name: `${url.name}?stream=${encodeURIComponent(stream)}`,
    hosts: url.hosts,
    username: url.username,
    password: url.password,
    vhost: url.path === '' ? '/' : url.path,
    stream,
    mayCreate: booleanSetting(url, 'create', true),
    arguments: {
      'x-queue-type': 'stream',
      ...(maxAge === null ? {} : { 'x-max-age': maxAge }),
      ...number('max-bytes', 'x-max-length-bytes'),
      ...number('segment-bytes', 'x-stream-max-segment-size-bytes'),
      ...number('replicas', 'x-initial-cluster-size'),
    },
    tls,
  };
}
