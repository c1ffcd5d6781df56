// RFC 3339, which CloudEvents asks for. These convert a given time; they read no clock.

/** The last millisecond that RFC 3339 can write, in the year 9999. */
const TIME_MAX = 253_402_300_799_999;

/** A publisher's clock may be set to anything; what cannot be written is moved to what can. */
export function formatTime(ms: number): string {
  const time = Number.isFinite(ms) ? Math.min(Math.max(Math.trunc(ms), 0), TIME_MAX) : 0;
  // oxlint-disable-next-line no-restricted-globals -- a conversion
  return new Date(time).toISOString();
}

/** Milliseconds since the epoch, of a text that zod found to be a date and time. */
export function parseTime(text: string): number {
  // oxlint-disable-next-line no-restricted-globals -- a conversion
  return Date.parse(text);
}
