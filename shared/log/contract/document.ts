// The contract: what lies in a log, as an AsyncAPI 3 document for whoever reads or writes it without us. The schemas of changes are those
// that every reader of ours applies (schema.ts). `npm run contract` writes asyncapi.json; a test compares.
import {
  documentKey,
  embeddingKey,
  membershipKey,
  sha256,
  workspaceKey,
  type Change,
  type DocPath,
  type Kind,
  type Slug,
} from '@docbus/core';
import { z } from 'zod';
import { recordsOf } from '../codec.ts';
import { PART_BYTES } from '../parts.ts';
import { changeSchemas, type ChangeType } from '../schema.ts';
import { REPLICA_HEADER, SEALED_TYPE } from '../sealed-record.ts';

type Json = Readonly<Record<string, unknown>>;

const KAFKA = '0.5.0';
const AMQP = '0.3.0';
const LOG = '#/channels/log';

/** What a person should know of each kind. */
const about: Readonly<Record<Kind, string>> = {
  document: "a document's file in AnythingLLM's documents/; its bytes are the payload, packed with zstd",
  embedding: "the chunk texts and vectors of one document, in docbus' binary form, packed with zstd; with the embedder's fingerprint",
  workspace: 'the name of a workspace and the settings that shape retrieval and chat',
  membership: 'that a document is embedded in a workspace: its rows, with docId and pin',
};

export function contractDocument(): Json {
  const changes = (Object.keys(changeSchemas) as ChangeType[]).map((type) => [type, changeMessage(type)] as const);
  const messages = Object.fromEntries([...changes, ...otherMessages]);
  const ofLog = Object.keys(messages).map((name) => ({ $ref: `${LOG}/messages/${name}` }));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'docbus log',
      version: '1.0.0',
      description:
        'What docbus agents append to the log that they share, and read from it. A record has a key and a value. The last value of a key counts, so the log may be compacted. Everything about one document is in one partition, and the parts of a payload precede the change that names them. Of several versions of a key the one with the higher data.version.revision wins; at equal revisions put before delete, then the greater replica, then the greater hash.',
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/cloudevents+json',
    channels: {
      log: {
        address: '{log}',
        title: 'The log',
        description: 'A Kafka topic, or a RabbitMQ stream that is published to through the default exchange.',
        parameters: { log: { description: 'The name of the topic or stream.', default: 'docbus' } },
        messages: Object.fromEntries(Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${name}` }])),
        bindings: {
          kafka: { topicConfiguration: { 'cleanup.policy': ['compact'], 'max.message.bytes': 2 << 20 }, bindingVersion: KAFKA },
          amqp: {
            is: 'queue',
            queue: { name: 'docbus', durable: true, exclusive: false, autoDelete: false },
            'x-arguments': { 'x-queue-type': 'stream' },
            bindingVersion: AMQP,
          },
        },
      },
    },
    operations: {
      append: {
        action: 'send',
        channel: { $ref: LOG },
        summary: 'An agent appends what changed on its replica.',
        messages: ofLog,
        bindings: {
          kafka: { bindingVersion: KAFKA },
          amqp: { mandatory: true, deliveryMode: 2, bindingVersion: AMQP },
        },
      },
      read: {
        action: 'receive',
        channel: { $ref: LOG },
        summary: 'An agent reads what the others appended, from its own checkpoint on.',
        messages: ofLog,
        bindings: {
          kafka: { groupId: { type: 'string', pattern: '^docbus\\.' }, bindingVersion: KAFKA },
          amqp: { ack: true, bindingVersion: AMQP },
        },
      },
    },
    components: { messages, schemas: Object.fromEntries(changes.map(([type]) => [type, changeSchema(type)])) },
  };
}

function changeMessage(type: ChangeType): Json {
  const kind = type.split('.')[1] as Kind;
  const isPut = type.endsWith('.put.v1');
  return {
    name: type,
    title: `${isPut ? 'Put' : 'Delete'} ${kind}`,
    summary: isPut ? `Says ${kind === 'membership' ? '' : 'that this is '}${about[kind]}.` : `Says that there is no such ${kind} any more.`,
    description: `A CloudEvents 1.0 event in structured JSON. The record's key is the event's subject.`,
    contentType: 'application/cloudevents+json',
    headers: headersWith({ 'content-type': { type: 'string', const: 'application/cloudevents+json; charset=UTF-8' } }),
    payload: { $ref: `#/components/schemas/${type}` },
    bindings: bindings(`^${kind}/`, type),
    examples: [{ name: `${kind}-${isPut ? 'put' : 'delete'}`, payload: example(kind, isPut) }],
  };
}

function changeSchema(type: ChangeType): Json {
  // What a writer may put in: fields that a reader does not know pass.
  const { $schema: _, ...schema } = z.toJSONSchema(changeSchemas[type], { target: 'draft-7', io: 'input' });
  return schema;
}

const otherMessages: readonly (readonly [string, Json])[] = [
  [
    'part',
    {
      name: 'part',
      title: 'Part of a payload',
      summary: `A piece of at most ${PART_BYTES} bytes of a packed payload too large to travel inside its change.`,
      description:
        'The key is part/<key of the change>/<sha256 of the unpacked payload>/<number, from 0>. The pieces in their order are the payload.',
      contentType: 'application/zstd',
      headers: headersWith({ 'content-type': { type: 'string', const: 'application/zstd' } }),
      payload: { type: 'string', format: 'binary', minLength: 1, maxLength: PART_BYTES },
      bindings: bindings('^part/(document|embedding)/.+/[0-9a-f]{64}/(0|[1-9][0-9]*)$', 'part'),
    },
  ],
  [
    'drop',
    {
      name: 'drop',
      title: 'Drop a part',
      summary: 'Removes a part that no change names any more. Compaction removes it; a reader ignores it.',
      description: 'On Kafka a null value. RabbitMQ has none: there an empty body with the header docbus-null.',
      headers: headersWith(
        {
          'docbus-null': { type: 'string', const: 'true' },
          'docbus-sealed': { type: 'string', description: 'in a sealed log: what is dropped, sealed like a value, in base64' },
        },
        [],
      ),
      payload: { type: 'null' },
      bindings: bindings('^(part|sealed)/', 'drop'),
    },
  ],
  [
    'sealed',
    {
      name: 'sealed',
      title: 'Sealed record',
      summary: 'Any of the others where DOCBUS_SECRET is set.',
      description:
        'The key is sealed/<HMAC of what belongs together>/<HMAC of the key>. The value is "DBS" 1, the id of the secret (8 bytes), a nonce (12 bytes), what AES-256-GCM made of the record, and its tag (16 bytes); the key and the replica are bound to it. Inside: the length of a JSON array of key and headers (uint32, little-endian), that array, the value.',
      contentType: SEALED_TYPE,
      headers: headersWith({
        'content-type': { type: 'string', const: SEALED_TYPE },
        [REPLICA_HEADER]: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$', description: 'who appended it' },
      }),
      payload: { type: 'string', format: 'binary', minLength: 40 },
      bindings: bindings('^sealed/[A-Za-z0-9_-]{22}/[A-Za-z0-9_-]{43}$', 'sealed'),
    },
  ],
  [
    'identity',
    {
      name: 'identity',
      title: 'Identity of the log',
      summary: 'The first record of a RabbitMQ stream: a random id that tells this log from one made anew under its name.',
      description: 'Not on Kafka, whose topics have an id of their own. Not sealed.',
      headers: headersWith({}),
      payload: { type: 'string', maxLength: 0 },
      bindings: { amqp: { messageType: 'identity', bindingVersion: AMQP } },
    },
  ],
];

/** All of `own` are there, unless `required` says otherwise; others may be. */
function headersWith(own: Json, required: readonly string[] = Object.keys(own)): Json {
  return {
    type: 'object',
    required,
    properties: {
      ...own,
      'docbus-key': { type: 'string', description: 'RabbitMQ only: the key of the record' },
      'docbus-log': { type: 'string', description: 'RabbitMQ only: the identity of the log' },
      'docbus-time': { type: 'string', description: 'RabbitMQ only: milliseconds since the epoch when it was appended' },
    },
    additionalProperties: { type: 'string' },
  };
}

function bindings(keyPattern: string, messageType: string): Json {
  return {
    kafka: { key: { type: 'string', pattern: keyPattern }, bindingVersion: KAFKA },
    amqp: { messageType, bindingVersion: AMQP },
  };
}

const path = 'custom-documents/timetable.txt-0b5c1f5e.json' as DocPath;
const slug = 'island' as Slug;
const keys = {
  document: documentKey(path),
  embedding: embeddingKey(path),
  workspace: workspaceKey(slug),
  membership: membershipKey(slug, path),
};
const contents = {
  document: { bytes: 8 },
  embedding: {
    fingerprint: { engine: 'native', model: 'Xenova/all-MiniLM-L6-v2', dimensions: 384, chunkSize: 1000, chunkOverlap: 20 },
    chunks: 1,
    documentHash: sha256('document'),
  },
  workspace: {
    name: 'Island',
    openAiTemp: 0.7,
    openAiHistory: 20,
    openAiPrompt: null,
    similarityThreshold: 0.25,
    chatModel: null,
    topN: 4,
    chatMode: 'chat',
    chatProvider: null,
    agentModel: null,
    agentProvider: null,
    queryRefusalResponse: null,
    vectorSearchMode: 'default',
  },
  membership: { copies: [{ docId: '0b5c1f5e-7f0c-4c55-8a53-6a1f5f4b7c11', pinned: false }] },
} as const;

/** As the codec writes it. */
function example(kind: Kind, isPut: boolean): unknown {
  const hasPayload = isPut && (kind === 'document' || kind === 'embedding');
  const common = {
    key: keys[kind],
    version: { revision: isPut ? 1 : 2, replica: 'replica-1' },
    base: isPut ? {} : { 'replica-1': 1 },
    instance: '9d1f8a52-3c3e-4a56-9a34-0d9f3a1f7e55',
    time: 1_767_225_600_000,
  };
  const change: Change = isPut
    ? { ...common, hash: sha256('document'), state: 'present', content: contents[kind] }
    : { ...common, hash: '', state: 'deleted', content: null };
  const value = recordsOf(change, hasPayload ? Buffer.from('document') : undefined).at(-1)?.value;
  return JSON.parse(Buffer.from(value ?? []).toString());
}
