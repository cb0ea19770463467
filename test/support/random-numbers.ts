/**
 * Numbers at random that a seed repeats (mulberry32): for loads and logs of operations, where fast-check's
 * own generators would shrink what has to stay as it is.
 */

/** Gives numbers from 0 below `limit`, the same ones for the same seed. */
export type RandomNumbers = (limit: number) => number;

export function randomNumbers(seed: number): RandomNumbers {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
