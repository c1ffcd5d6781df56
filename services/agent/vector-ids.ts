// Vector ids on a receiving replica are derived, so that an id never changes its content and a replay may add again.
import { createUuidV5 } from '@docbus/core';

/** Namespace of docbus' vector ids; any fixed UUID does. */
const uuidOf = createUuidV5('b6a7d6c2-4c0e-5d0a-9d53-3f6f5c1f8a11');

/** One id per chunk, from docId, embedding hash and chunk number. */
export function vectorIdsOf(docId: string, embeddingHash: string, chunks: number): string[] {
  const base = `${docId}/${embeddingHash}/`;
  return Array.from({ length: chunks }, (_, i) => uuidOf(base + i));
}

/** Whether we made the id of a vector: AnythingLLM's are random (version 4). */
export function isOurs(vectorId: string): boolean {
  return vectorId.charAt(14) === '5';
}
