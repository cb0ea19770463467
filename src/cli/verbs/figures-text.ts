/**
 * Figures as people read them: counts, bytes, times and rates in few characters.
 */

const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
const DECIMAL = ['', 'k', 'M', 'G', 'T'];

/** Three digits and what they count. */
function scaled(value: number, base: number, units: readonly string[]): string {
  let scale = 0;
  let rest = value;
  while (rest >= base * 0.9995 && scale < units.length - 1) {
    rest /= base;
    scale++;
  }
  const digits =
    rest >= 99.95 || (scale === 0 && Number.isInteger(rest)) ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)}${units[scale]}`;
}

/** `1.5MiB`. */
export function bytesText(bytes: number): string {
  return `${scaled(bytes, 1024, BINARY)}B`;
}

/** `12.3k`. */
export function countText(count: number): string {
  return scaled(count, 1000, DECIMAL);
}

/** `85.2us`, `1.32ms`, `2.00s`; `-` for nothing. */
export function timeText(us: number): string {
  if (us <= 0) return '-';
  if (us < 999.5) return `${scaled(us, Number.POSITIVE_INFINITY, [''])}us`;
  if (us < 999_500) return `${scaled(us / 1000, Number.POSITIVE_INFINITY, [''])}ms`;
  return `${scaled(us / 1e6, Number.POSITIVE_INFINITY, [''])}s`;
}
