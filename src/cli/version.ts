/**
 * The version of this package, wherever it runs from.
 */
import { readFileSync } from 'node:fs';

export function version(): string {
  // From src/cli in a clone, from dist/src/cli in the published package.
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      // Not there: the other place.
    }
  }
  return 'unknown';
}
