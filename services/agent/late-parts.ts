// Parts that come after their change. They were appended twice, a compacting log kept the later ones, and the change that followed these
// was lost with the log's tail: what is left is the earlier change, and its parts behind it.
import { compareStamp, isDocbusError, type Change, type Key } from '@docbus/core';
import { unpackPayload } from '@docbus/log/payload.ts';
import { retryQuarantined } from './commands.ts';
import type { Context } from './context.ts';

/** To be called when the log was read to its end: applies what waits for parts that have come since. */
export async function completeLate(context: Context, signal: AbortSignal): Promise<void> {
  const { manifest } = context;
  const completed = new Map<string, Key>();
  for (const { id, code, change } of manifest.quarantined()) {
    if (code !== 'parts_missing' || change === null || isSuperseded(context, change)) continue;
    const packed = partsOf(context, change);
    const item = packed === undefined ? undefined : manifest.quarantinedById(id);
    if (packed === undefined || item === undefined) continue;
    manifest.putQuarantine({ ...item, packed });
    completed.set(id, item.key as Key);
  }
  if (completed.size === 0) return;
  await retryQuarantined(context, new Set(completed.keys()), signal);
  manifest.transaction(() => completed.values().forEach((key) => manifest.dropParts(key)));
}

/** True where a newer change of the key waits, too: applied after it, or instead of it, this one would stay. */
function isSuperseded({ manifest }: Context, change: Change): boolean {
  return manifest.quarantinedOf(change.key).some((other) => other.change !== null && compareStamp(change, other.change) < 0);
}

/** The whole payload, or undefined: nothing says how many parts there are, but only all of them have its hash. */
function partsOf({ manifest, settings }: Context, { key, hash }: Change): Uint8Array | undefined {
  const parts = manifest.parts(key, hash);
  if (parts.size === 0) return undefined;
  const packed = Buffer.concat(Array.from({ length: parts.size }, (_, index) => parts.get(index) ?? new Uint8Array()));
  try {
    unpackPayload(packed, { hash, bytesMax: settings.payloadBytesMax });
    return packed;
  } catch (error) {
    if (isDocbusError(error, 'payload_corrupt')) return undefined;
    throw error;
  }
}
