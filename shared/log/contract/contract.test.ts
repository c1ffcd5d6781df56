import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { changeSchemas } from '../schema.ts';
import { contractDocument } from './document.ts';
import { createContractValidator, readContract } from './validator-for-tests.ts';
import type { LogRecord } from '../port.ts';

test('the published contract is what the code says: npm run contract writes it', () => {
  assert.deepEqual(readContract(), contractDocument());
});

test('the contract is an AsyncAPI 3.0 document with Kafka and AMQP bindings', () => {
  const schema = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0.json') as object;
  const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false }); // it brings draft 7 itself
  addFormats.default(ajv);
  const validate = ajv.compile(schema);
  assert.ok(validate(readContract()), JSON.stringify(validate.errors?.slice(0, 5), null, 1));
  const broken = { ...readContract(), channels: { log: { bindings: { amqp: { is: 'a stream' } } } } };
  assert.ok(!validate(broken), 'the validator looks at bindings');
});

test('every reference in the contract leads somewhere', () => {
  const contract = readContract();
  const references = [...JSON.stringify(contract).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path as string);
  assert.ok(references.length > 20);
  for (const reference of references) {
    let place: unknown = contract;
    for (const name of reference.split('/')) place = (place as Record<string, unknown>)[name];
    assert.ok(place !== undefined, reference);
  }
});

const examples = Object.values(readContract().components.messages).flatMap((message) =>
  'examples' in message ? (message.examples as { payload: { subject: string } }[]) : [],
);
const recordOf = (payload: { subject: string }): LogRecord => ({
  key: payload.subject,
  value: Buffer.from(JSON.stringify(payload)),
  headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
});

test('every kind of change is in the contract, with an example that passes', () => {
  const validate = createContractValidator();
  const seen = examples.map(({ payload }) => validate(recordOf(payload)));
  assert.deepEqual(
    seen.map(({ message }) => message),
    Object.keys(changeSchemas),
  );
  assert.deepEqual(
    seen.flatMap(({ problems }) => problems),
    [],
  );
});

test('what a reader would refuse does not pass either, and fields that it does not know do', () => {
  const validate = createContractValidator();
  const [{ payload }] = examples as [{ payload: { subject: string; data: object } }];
  assert.deepEqual(validate(recordOf({ ...payload, extra: 1 } as never)).problems, []);
  const wrong: object[] = [
    { specversion: '2.0' },
    { source: 'elsewhere' },
    { time: 'yesterday' },
    { data: { ...payload.data, hash: 'x' } },
    { data: { ...payload.data, version: { revision: 0, replica: 'a' } } },
    { data: { ...payload.data, base: { 'not a name': 1 } } },
    { data: { ...payload.data, payload: { type: 'parts', parts: 0, bytes: 1 } } },
  ];
  for (const fields of wrong) assert.notDeepEqual(validate(recordOf({ ...payload, ...fields })).problems, [], JSON.stringify(fields));
  assert.notDeepEqual(validate({ ...recordOf(payload), key: 'document/other' }).problems, []);
  assert.notDeepEqual(validate({ ...recordOf(payload), headers: { 'content-type': 'application/cloudevents+json' } }).problems, []);
  assert.notDeepEqual(validate({ key: 'zebra/1', value: Buffer.of(1), headers: {} }).problems, []);
});
