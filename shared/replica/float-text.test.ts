import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { floatTextBytesMax, writeFloats } from './float-text.ts';

function textOf(values: Float32Array): string {
  const target = Buffer.alloc(values.length * floatTextBytesMax + 8);
  return target.toString('latin1', 0, writeFloats(target, 0, values, 0, values.length));
}

function roundTrip(values: Float32Array): Float32Array {
  return Float32Array.from(JSON.parse(`[${textOf(values)}]`) as number[]);
}

test('numbers are written in at most nine digits, without trailing zeros', () => {
  assert.equal(
    textOf(Float32Array.of(0.25, -0.1, 0, -0, 1, -1.5, 0.00123, 1e-12)),
    '0.25,-0.100000001,0,-0,1,-1.5,0.00123000005,9.99999996e-13',
  );
});

test('edges read back as the same float32', () => {
  const powers = Array.from({ length: 84 }, (_, index) => 10 ** (index - 45));
  const near = powers.flatMap((power) => {
    const bits = new Uint32Array(Float32Array.of(power).buffer)[0] as number;
    return [bits - 1, bits, bits + 1].filter((word) => word >= 0 && word < 0x7f800000);
  });
  const values = new Float32Array(
    Uint32Array.from([...near, ...near.map((word) => word | 0x80000000), 0x7f7fffff, 1, 0x00800000, 0x3f7fffff]).buffer,
  );
  const back = roundTrip(values);
  for (const [index, value] of values.entries()) assert.ok(Object.is(back[index], value), `${value} became ${back[index]}`);
});

test('every float32 reads back as itself and fits its bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 50 }), (numbers) => {
      const values = Float32Array.from(numbers);
      assert.deepEqual(roundTrip(values), values);
      for (const value of values) assert.ok(textOf(Float32Array.of(value)).length < floatTextBytesMax);
    }),
    { numRuns: 500 },
  );
});

test('a million numbers as embeddings have them read back as themselves', () => {
  const values = new Float32Array(1_000_000);
  let state = 1;
  for (let index = 0; index < values.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[index] = (state / 2 ** 32 - 0.5) * 10 ** -(index % 9);
  }
  const back = roundTrip(values);
  assert.equal(Buffer.compare(Buffer.from(back.buffer), Buffer.from(values.buffer)), 0);
});
