/**
 * Numbers as people read them: three digits that count, a unit, always about as wide as before. Pure.
 */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** @param {number} value three digits that count, at most */
function short(value) {
  const rounded = Number(value.toPrecision(3));
  if (rounded >= 100 || Number.isInteger(rounded)) return rounded.toFixed(0);
  return rounded.toFixed(rounded >= 10 ? 1 : 2);
}

/**
 * 950, 1.20k, 34.5k, 1.20M.
 * @param {number} value
 */
export function count(value) {
  if (value < 9.95) return Number.isInteger(value) ? `${value}` : value.toFixed(1);
  if (value < 999.5) return value.toFixed(0);
  if (value < 999_500) return `${short(value / 1000)}k`;
  return `${short(value / 1e6)}M`;
}

/**
 * 512 B, 1.50 KiB, 64 MiB.
 * @param {number} value
 */
export function bytes(value) {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? scaled.toFixed(0) : short(scaled)} ${BYTE_UNITS[unit]}`;
}

/** @param {number} value bytes a second */
export const byteRate = (value) => `${bytes(value)}/s`;

/**
 * 850 ns, 12.5 µs, 3.20 ms, 1.50 s; a dash for nothing.
 * @param {number | null} ns
 */
export function duration(ns) {
  if (ns === null) return '–';
  if (ns < 999.5) return `${ns.toFixed(0)} ns`;
  if (ns < 999_500) return `${short(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${short(ns / 1e6)} ms`;
  return `${short(ns / 1e9)} s`;
}

/**
 * A range of the disk: 8–9 MiB, 0–64 KiB, 1020 MiB–1.50 GiB.
 * @param {number} from
 * @param {number} end
 */
export function byteRange(from, end) {
  const [begin, last] = [bytes(from), bytes(end)];
  if (begin === last) return `at ${last}`;
  const unit = last.slice(last.indexOf(' '));
  if (from === 0) return `0–${last}`;
  return begin.endsWith(unit) ? `${begin.slice(0, -unit.length)}–${last}` : `${begin}–${last}`;
}

/**
 * The least number that holds the value and has quarters that are easy to read.
 * @param {number} value
 * @param {boolean} binary for bytes
 */
export function niceMaximum(value, binary) {
  const [base, steps] = binary ? [2, [1, 1.5, 2]] : [10, [1, 2, 3, 4, 6, 8, 10]];
  const power = base ** Math.floor(Math.log(Math.max(value, 1)) / Math.log(base) + 1e-9);
  return (steps.find((step) => step * power >= value) ?? base) * power;
}
