/**
 * The cases of the packaged suite, which need nothing but Debian's packages. What each does is in guest/packaged.sh, under
 * the same name; the group `quick` is what `make test` runs.
 */
import type { FileSystem, TestCase } from './cases.ts';

interface PackagedCase {
  readonly name: string;
  /** On the bare disk, on each file system, or both. */
  readonly on: 'block' | 'fs' | 'both';
  readonly quick: boolean;
}

export const packagedCases: readonly PackagedCase[] = [
  { name: 'fio-verify', on: 'both', quick: true },
  { name: 'fio-trim', on: 'block', quick: false },
  { name: 'badblocks', on: 'block', quick: true },
  { name: 'discard-holes', on: 'block', quick: true },
  { name: 'zeroes', on: 'block', quick: true },
  { name: 'fio-buffered', on: 'fs', quick: false },
  { name: 'fstrim-holes', on: 'fs', quick: true },
  { name: 'stress-hdd', on: 'fs', quick: false },
  { name: 'stress-io', on: 'fs', quick: false },
  { name: 'stress-filesystem', on: 'fs', quick: false },
  { name: 'dbench', on: 'fs', quick: false },
];

/** The cases of a group on the bare disk first, then on each file system. */
export function packagedPlan(group: string, fileSystems: readonly FileSystem[]): TestCase[] {
  const chosen = packagedCases.filter(({ quick }) => quick || group === 'all');
  const places: FileSystem[] = ['block', ...fileSystems.filter((fs) => fs !== 'block')];
  return places.flatMap((fs) =>
    chosen
      .filter(({ on }) => on === 'both' || (on === 'block') === (fs === 'block'))
      .map(({ name }) => ({ suite: 'packaged' as const, fs, name })),
  );
}
