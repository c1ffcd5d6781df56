// The one source of chance of a simulated cluster: everything that is not decided by code is drawn from here, in one order.

export type Random = {
  /** in [0, 1) */
  next(): number;
  chance(probability: number): boolean;
  /** a whole number in [0, limit) */
  below(limit: number): number;
  pick<T>(list: readonly T[]): T;
  /** `weights` in proportion to each other */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T;
  bytes(count: number): Uint8Array;
};

/** sfc32, seeded through splitmix32: small, fast, and the same on every machine. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const mix = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let t = state ^ (state >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return t ^ (t >>> 15);
  };
  let [a, b, c, d] = [mix(), mix(), mix(), mix()];
  const word = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let warm = 0; warm < 12; warm++) word();
  const next = (): number => word() / 2 ** 32;
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (list) => {
      if (list.length === 0) throw new RangeError('nothing to pick from');
      return list[below(list.length)] as (typeof list)[number];
    },
    weighted: (choices) => {
      let left = next() * choices.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, value] of choices) if ((left -= weight) < 0) return value;
      return (choices.at(-1) as (typeof choices)[number])[1];
    },
    bytes: (count) => Uint8Array.from({ length: count }, () => word() & 0xff),
  };
}
