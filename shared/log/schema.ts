// The form of a change in the log, as zod schemas: everything a reader believes has passed them. Unknown fields pass and are left out;
// every number and text has a bound, because a record may come from anywhere.
import type { Kind } from '@docbus/core';
import { z } from 'zod';
import { PART_BYTES, PARTS_MAX } from './parts.ts';

/** Bytes of a change's record that a reader takes. A packed document of 32 KiB and a long system prompt fit many times. */
export const CHANGE_BYTES_MAX = 1024 * 1024;

const replicaPattern = /^[A-Za-z0-9._-]{1,64}$/;
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const shortText = z.string().max(4096);
const longText = z.string().max(CHANGE_BYTES_MAX);
const size = z.int().min(0);

const version = z.object({ revision: z.int().min(1), replica: z.string().regex(replicaPattern) });

/** As many as have ever edited one key. */
const BASE_REPLICAS_MAX = 1000;
const base = z
  .record(z.string().regex(replicaPattern), z.int().min(1))
  .refine((revisions) => Object.keys(revisions).length <= BASE_REPLICAS_MAX, `names more than ${BASE_REPLICAS_MAX} replicas`);

const document = z.object({ bytes: size });

const embedding = z.object({
  fingerprint: z.object({
    engine: shortText,
    model: shortText,
    dimensions: z.int().min(0).max(65_536),
    chunkSize: size.nullable(),
    chunkOverlap: size,
  }),
  chunks: size,
  documentHash: hash.nullable(),
});

const workspace = z.object({
  name: longText,
  openAiTemp: z.number().nullable(),
  openAiHistory: z.number(),
  openAiPrompt: longText.nullable(),
  similarityThreshold: z.number().nullable(),
  chatModel: shortText.nullable(),
  topN: z.number().nullable(),
  chatMode: shortText.nullable(),
  chatProvider: shortText.nullable(),
  agentModel: shortText.nullable(),
  agentProvider: shortText.nullable(),
  queryRefusalResponse: longText.nullable(),
  vectorSearchMode: shortText.nullable(),
});

const membership = z.object({
  copies: z
    .array(z.object({ docId: z.string().min(1).max(256), pinned: z.boolean() }))
    .min(1)
    .max(10_000)
    .refine((copies) => new Set(copies.map(({ docId }) => docId)).size === copies.length, 'has one docId twice'),
});

const payload = z.discriminatedUnion('type', [
  z.object({ type: z.literal('inline'), base64: z.string().max(CHANGE_BYTES_MAX) }),
  z
    .object({ type: z.literal('parts'), parts: z.int().min(1).max(PARTS_MAX), bytes: z.int().min(1) })
    .refine(
      ({ parts, bytes }) => bytes >= parts && bytes <= parts * PART_BYTES,
      `is not a payload in parts of at most ${PART_BYTES} bytes`,
    ),
]);

const nothing = z.null();

/** A CloudEvents 1.0 event in structured JSON. */
const event = <Data extends z.ZodType>(type: string, data: Data) =>
  z.object({
    specversion: z.literal('1.0'),
    id: z.string().min(1).max(1024),
    source: z.string().regex(/^\/docbus\/[A-Za-z0-9._-]{1,64}$/),
    type: z.literal(type),
    subject: z.string().min(1).max(4096),
    time: z.iso.datetime({ offset: true }),
    datacontenttype: z.literal('application/json'),
    data,
  });

const put = <Content extends z.ZodType, Payload extends z.ZodType>(kind: Kind, content: Content, carried: Payload) =>
  event(`docbus.${kind}.put.v1`, z.object({ version, base, hash, instance: z.string().min(1).max(128), content, payload: carried }));

const deletion = (kind: Kind) =>
  event(
    `docbus.${kind}.delete.v1`,
    z.object({
      version,
      base,
      hash: z.literal(''),
      instance: z.string().min(1).max(128),
      content: nothing,
      payload: nothing,
    }),
  );

/** By `type`. Also the source of the published contract. */
export const changeSchemas = {
  'docbus.document.put.v1': put('document', document, payload),
  'docbus.document.delete.v1': deletion('document'),
  'docbus.embedding.put.v1': put('embedding', embedding, payload),
  'docbus.embedding.delete.v1': deletion('embedding'),
  'docbus.workspace.put.v1': put('workspace', workspace, nothing),
  'docbus.workspace.delete.v1': deletion('workspace'),
  'docbus.membership.put.v1': put('membership', membership, nothing),
  'docbus.membership.delete.v1': deletion('membership'),
};

export type ChangeType = keyof typeof changeSchemas;
export type ChangeEvent = z.infer<(typeof changeSchemas)[ChangeType]>;

export function isChangeType(type: string): type is ChangeType {
  return Object.hasOwn(changeSchemas, type);
}
