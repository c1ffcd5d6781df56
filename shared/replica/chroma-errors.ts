// Chroma's refusals and failures in our words, once: of the official client by the names of its errors, of bare requests by status.
import { DocbusError, isDocbusError, reasonOf } from '@docbus/core';

export function unreachable(endpoint: string, what: string, cause: unknown): DocbusError {
  return new DocbusError(
    'chroma_unreachable',
    `Chroma at ${endpoint} cannot be reached (${what}). Check that it runs and that CHROMA_ENDPOINT is right; docbus tries again.`,
    { cause },
  );
}

/** An answer that is no success. 404 becomes `chroma_not_found`, for the caller to look the collection up again. */
export function statusError(status: number, text: string, endpoint: string): DocbusError {
  const message = messageIn(text);
  switch (status) {
    case 400:
      return refusal(message, endpoint);
    case 413:
    case 422:
      return new DocbusError('vectors_refused', `Chroma at ${endpoint} does not take these vectors (${status}: ${message}).`);
    case 401:
    case 403:
      return denied(endpoint, `${status}: ${message}`);
    case 404:
      return new DocbusError('chroma_not_found', `Chroma at ${endpoint} has no such collection (${message}).`);
    default:
      return new DocbusError('chroma_refused', `Chroma at ${endpoint} failed (${status}: ${message}); docbus tries again.`);
  }
}

/** What the official client throws. Its connection errors carry neither cause nor code. */
export function chromaError(error: unknown, endpoint: string): unknown {
  if (isDocbusError(error)) return error;
  if (!(error instanceof Error)) return error;
  switch (error.name) {
    case 'ChromaConnectionError':
      return unreachable(endpoint, 'no connection', undefined); // its own words, about browsers and CORS, lead astray
    case 'TypeError':
      // fetch's own: everything that went wrong before an answer was whole.
      return error.cause === undefined ? error : unreachable(endpoint, reasonOf(error.cause), error);
    case 'ChromaNotFoundError':
      return new DocbusError('chroma_not_found', `Chroma at ${endpoint} has no such collection.`, { cause: error });
    case 'ChromaAuthError':
    case 'ChromaForbiddenError':
      return denied(endpoint, error.message, error);
    case 'ChromaClientError':
      return refusal(error.message, endpoint, error);
    default:
      if (!error.name.startsWith('Chroma') && error.name !== 'SyntaxError') return error;
      return new DocbusError('chroma_refused', `Chroma at ${endpoint} failed (${error.message}); docbus tries again.`, { cause: error });
  }
}

/** A bad request is about what was sent, unless it is about where it was sent. */
function refusal(message: string, endpoint: string, cause?: unknown): DocbusError {
  if (/(?:Database|Tenant) \[/.test(message))
    return new DocbusError('chroma_refused', `Chroma at ${endpoint} refuses: ${message}. Check its tenants and databases.`, { cause });
  return new DocbusError('vectors_refused', `Chroma at ${endpoint} does not take these vectors (${message}).`, { cause });
}

function denied(endpoint: string, what: string, cause?: unknown): DocbusError {
  return new DocbusError(
    'chroma_refused',
    `Chroma at ${endpoint} does not let docbus in (${what}). Check CHROMA_API_HEADER and CHROMA_API_KEY.`,
    { cause },
  );
}

/** The server's own words, or what a proxy in between said, in one line. */
function messageIn(text: string): string {
  try {
    const answer: unknown = JSON.parse(text);
    if (answer !== null && typeof answer === 'object' && 'message' in answer && typeof answer.message === 'string') return answer.message;
  } catch {
    // Not from Chroma.
  }
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}
