// Times as people read them. Formatting a given time asks no clock.

/** `2026-11-22T12:30:01Z`: UTC, to the second. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
