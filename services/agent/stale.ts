// Was an embedding made from this text? AnythingLLM keys its vector-cache by path, so a cache can belong to an earlier content
// of the same file, and nothing in it says so. Its chunks are pieces of the text they were made from: that can be checked.

/**
 * True where every chunk, without its `<document_metadata>` header, is found in the document's pageContent.
 * A document that is not JSON or has no pageContent is the source of nothing.
 */
export function chunksComeFrom(texts: readonly string[], document: Uint8Array): boolean {
  const content = pageContentOf(document);
  if (content === undefined) return false;
  let from = 0;
  for (const text of texts) {
    const body = bodyOf(text);
    // Chunks are in order and may overlap, so the search goes on from the last find and only falls back to the start.
    const found = content.indexOf(body, from);
    if (found >= 0) from = found;
    else if (!content.includes(body)) return false;
  }
  return true;
}

const HEADER_END = '</document_metadata>';

function bodyOf(text: string): string {
  const end = text.indexOf(HEADER_END);
  return (end < 0 ? text : text.slice(end + HEADER_END.length)).trim();
}

function pageContentOf(document: Uint8Array): string | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(document).toString('utf8'));
    return typeof parsed === 'object' && parsed !== null && 'pageContent' in parsed && typeof parsed.pageContent === 'string'
      ? parsed.pageContent.toWellFormed()
      : undefined;
  } catch {
    return undefined;
  }
}

/** What AnythingLLM stores in workspace_documents.metadata: the document's fields without pageContent, as JSON. Null where the document does not parse. */
export function rowMetadataOf(document: Uint8Array): string | null {
  try {
    const { pageContent: _, ...metadata } = JSON.parse(Buffer.from(document).toString('utf8')) as Record<string, unknown>;
    return JSON.stringify(metadata);
  } catch {
    return null;
  }
}
