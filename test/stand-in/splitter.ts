// How AnythingLLM cuts a document into chunks: at paragraphs, else lines, else words, else anywhere (in UTF-16 units, so that an emoji can be
// cut in half), with an overlap, and with a header that repeats title, date and source in each chunk.

export type SplitOptions = {
  /** characters */
  readonly chunkSize: number;
  /** characters that two neighbours may share */
  readonly chunkOverlap: number;
  readonly header: string;
};

const SEPARATORS = ['\n\n', '\n', ' ', ''] as const;

/** Throws when the overlap is not smaller than the size. */
export function splitDocument(text: string, { chunkSize, chunkOverlap, header }: SplitOptions): string[] {
  if (chunkOverlap >= chunkSize) throw new Error('Cannot have chunkOverlap >= chunkSize');
  const chunks = split(text, SEPARATORS, chunkSize, chunkOverlap);
  if (header === '') return chunks;
  // The original splits each chunk once more while it adds the header; that rarely changes anything, but it may.
  return chunks.flatMap((chunk) => split(chunk, SEPARATORS, chunkSize, chunkOverlap)).map((chunk) => header + chunk);
}

function split(text: string, separators: readonly string[], size: number, overlap: number): string[] {
  const found = separators.findIndex((separator) => separator === '' || text.includes(separator));
  const separator = separators[found] ?? '';
  const finer = separator === '' ? undefined : separators.slice(found + 1);
  const chunks: string[] = [];
  let small: string[] = [];
  const flush = (): void => {
    if (small.length > 0) chunks.push(...join(small, size, overlap));
    small = [];
  };
  for (const piece of cut(text, separator)) {
    if (piece.length < size) {
      small.push(piece);
      continue;
    }
    flush();
    if (finer === undefined) chunks.push(piece);
    else chunks.push(...split(piece, finer, size, overlap));
  }
  flush();
  return chunks;
}

/** Each separator stays at the beginning of the piece that it opens. */
function cut(text: string, separator: string): string[] {
  const pieces = separator === '' ? text.split('') : text.split(new RegExp(`(?=${separator})`));
  return pieces.filter((piece) => piece !== '');
}

/** Fills chunks with pieces; each begins with the last pieces of the one before, as many as fit into the overlap. */
function join(pieces: readonly string[], size: number, overlap: number): string[] {
  const chunks: string[] = [];
  const current: string[] = [];
  let length = 0;
  const close = (): void => {
    const chunk = current.join('').trim();
    if (chunk !== '') chunks.push(chunk);
  };
  for (const piece of pieces) {
    if (length + piece.length > size && current.length > 0) {
      close();
      while (length > overlap || (length + piece.length > size && length > 0)) length -= current.shift()?.length ?? 0;
    }
    current.push(piece);
    length += piece.length;
  }
  close();
  return chunks;
}

/** The header of a document's chunks: '' when it has neither title nor date nor a web address. */
export function chunkHeader(metadata: Readonly<Record<string, unknown>>): string {
  const { title, published, chunkSource } = metadata;
  const lines = [line('sourceDocument', title), line('published', published), line('source', webSource(chunkSource))].join('');
  return lines === '' ? '' : `<document_metadata>\n${lines}</document_metadata>\n\n`;
}

function line(name: string, value: unknown): string {
  return value === undefined || value === null || value === '' || value === 0 || value === false ? '' : `${name}: ${String(value)}\n`;
}

function webSource(chunkSource: unknown): string | undefined {
  if (typeof chunkSource !== 'string') return undefined;
  const prefix = ['link://', 'youtube://'].find((known) => chunkSource.startsWith(known));
  return prefix === undefined ? undefined : chunkSource.split(prefix)[1];
}
