/**
 * The data path's clock: microseconds modulo 2^30. A small integer, because a time as a fraction would be
 * boxed, 16 bytes of garbage for each look. Only differences mean something, of up to 17 minutes.
 */

export const CLOCK_US_MASK = 2 ** 30 - 1;

/** Monotonic, from 0 to CLOCK_US_MASK and around. */
export type ClockUs = () => number;

export function elapsedUs(fromUs: number, toUs: number): number {
  return (toUs - fromUs) & CLOCK_US_MASK;
}
