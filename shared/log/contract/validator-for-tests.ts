// Holds records against the published contract with nothing of ours: the file, and a validator of JSON Schema.
import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import type { LogRecord } from '../port.ts';

type Schema = Readonly<Record<string, unknown>>;
type Message = {
  readonly payload: Schema;
  readonly headers: Schema;
  readonly bindings: { readonly kafka?: { readonly key: Schema } };
};
type Contract = {
  readonly components: { readonly messages: Readonly<Record<string, Message>>; readonly schemas: Readonly<Record<string, Schema>> };
};

export function readContract(): Contract {
  return JSON.parse(readFileSync(new URL('asyncapi.json', import.meta.url), 'utf8')) as Contract;
}

/** The name of the message that a record is, and what is wrong with it; '' for one that is none. */
export type Verdict = { readonly message: string; readonly problems: readonly string[] };

export function createContractValidator(contract: Contract = readContract()): (record: LogRecord) => Verdict {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema({ ...contract, $id: 'contract' });
  const compile = (name: string, place: string): ValidateFunction =>
    ajv.compile({ $ref: `contract#/components/messages/${name}/${place}` });
  const messages = Object.entries(contract.components.messages).flatMap(([name, { bindings }]) =>
    bindings.kafka === undefined
      ? []
      : [{ name, key: compile(name, 'bindings/kafka/key'), headers: compile(name, 'headers'), payload: compile(name, 'payload') }],
  );
  const problemsOf = (validate: ValidateFunction, value: unknown, what: string): string[] =>
    validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${what}${instancePath} ${message}`);

  return (record) => {
    const event = eventOf(record);
    const name =
      record.value === null ? 'drop' : typeof event?.['type'] === 'string' ? event['type'] : record.key.slice(0, record.key.indexOf('/'));
    const message = messages.find((known) => known.name === name);
    if (message === undefined) return { message: '', problems: [`${record.key} is no message of the contract`] };
    const payload = event ?? (record.value === null ? null : Buffer.from(record.value).toString('latin1'));
    const problems = [
      ...problemsOf(message.key, record.key, 'key'),
      ...problemsOf(message.headers, record.headers, 'headers'),
      ...problemsOf(message.payload, payload, 'payload'),
    ];
    if (event !== undefined && event['subject'] !== record.key) problems.push('the subject is not the key');
    return { message: name, problems };
  };
}

function eventOf({ value, headers }: LogRecord): Schema | undefined {
  if (value === null || !headers['content-type']?.startsWith('application/cloudevents+json')) return undefined;
  return JSON.parse(Buffer.from(value).toString()) as Schema;
}
