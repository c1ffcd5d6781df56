// What was appended comes back when the log is read to its end: at once, or on a broker a moment later. What does not is gone from the
// log though it had acknowledged it (a broker without others, and the power goes), and our checkpoint, which lies before it, does not
// tell. Then it is appended again.
import { formatVersion, type Key } from '@docbus/core';
import type { Context } from './context.ts';

/** To be called at the end of the log. */
export function missSent({ manifest, clock, settings, state, logger }: Context): void {
  const sent = manifest.sent();
  if (sent.length === 0) state.awaited = undefined;
  else if (state.awaited === undefined) state.awaited = { since: clock.now(), changes: new Set(sent.map(nameOf)) };
  else if (clock.now() - state.awaited.since >= settings.refillMs) {
    const { changes } = state.awaited;
    const missed = sent.filter((one) => changes.has(nameOf(one)));
    state.awaited = undefined;
    manifest.transaction(() => missed.forEach(({ key }) => manifest.setLogged(key, false)));
    if (missed.length > 0) logger.warn({ changes: missed.length }, 'the log has lost what it had acknowledged; it is appended again');
  }
}

function nameOf({ key, version }: { readonly key: Key; readonly version: Parameters<typeof formatVersion>[0] }): string {
  return `${key} ${formatVersion(version)}`;
}
