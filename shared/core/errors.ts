// The one error type of docbus. Its code names the remedy; the message tells the operator what happened,
// to what, and what to do. Libraries' errors are wrapped once, in the driver, with `cause`.

/**
 * What the agent does about an error of each code. One table, so that one exhaustive switch can act.
 * - `exit`: nothing here can mend it; the process says so and ends.
 * - `retry`: it may pass; the next look is the retry, with growing pauses.
 * - `bootstrap`: the checkpoint is of no use; start over from the first record.
 * - `quarantine`: this one change cannot be applied; put it aside, go on with the rest.
 * - `wait`: a person or another process has to act; look again later, be not ready meanwhile.
 */
export const remedies = {
  config_invalid: 'exit',
  node_too_old: 'exit',
  state_locked: 'exit',
  state_removed: 'exit',
  replica_id_taken: 'exit',
  schema_unknown: 'wait',
  storage_missing: 'wait',
  storage_replaced: 'wait',
  storage_foreign: 'wait',
  database_missing: 'wait',
  database_busy: 'retry',
  disk_full: 'retry',
  disk_failed: 'retry',
  manifest_corrupt: 'exit',
  chroma_unreachable: 'retry',
  chroma_refused: 'retry',
  chroma_not_found: 'retry',
  vectors_refused: 'quarantine',
  log_unreachable: 'retry',
  log_refused: 'wait',
  log_busy: 'retry',
  log_corrupt: 'wait',
  position_expired: 'bootstrap',
  log_tail_lost: 'bootstrap',
  log_recreated: 'bootstrap',
  record_too_large: 'quarantine',
  record_malformed: 'quarantine',
  record_forged: 'quarantine',
  record_unknown_type: 'quarantine',
  parts_missing: 'quarantine',
  payload_corrupt: 'quarantine',
  path_refused: 'quarantine',
  embedder_mismatch: 'quarantine',
  document_too_large: 'quarantine',
  agent_unreachable: 'retry',
  agent_refused: 'wait',
  aborted: 'retry',
} as const satisfies Record<string, Remedy>;

export type Remedy = 'exit' | 'retry' | 'bootstrap' | 'quarantine' | 'wait';
export type ErrorCode = keyof typeof remedies;

export class DocbusError extends Error {
  override readonly name = 'DocbusError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get remedy(): Remedy {
    return remedies[this.code];
  }
}

/** True where `error` is ours and carries one of `codes` (any code when none is named). */
export function isDocbusError(error: unknown, ...codes: ErrorCode[]): error is DocbusError {
  return error instanceof DocbusError && (codes.length === 0 || codes.includes(error.code));
}

/** The words of an error and of its causes, for one line of a message. What a cause only repeats is said once. */
export function reasonOf(error: unknown): string {
  let text = wordsOf(error);
  for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
    const words = wordsOf(cause);
    if (!text.includes(words)) text += `${/[.!?]$/.test(text) ? ' Cause: ' : ': '}${words}`;
  }
  return text;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
