// Vector ids on a receiving replica are derived, so that an id never changes its content and a replay may add again.
import { v5 as uuidv5 } from 'uuid';

/** Namespace of docbus' vector ids; any fixed UUID does. */
const NAMESPACE = 'b6a7d6c2-4c0e-5d0a-9d53-3f6f5c1f8a11';

/** One id per chunk, from docId, embedding hash and chunk number. */
export function vectorIdsOf(docId: string, embeddingHash: string, chunks: number): string[] {
  const base = `${docId}/${embeddingHash}/`;
  return Array.from({ length: chunks }, (_, i) => uuidv5(base + i, NAMESPACE));
}
