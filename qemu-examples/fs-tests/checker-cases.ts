/**
 * The cases of the suite `checker`: the disk checker (disk-checker/) in the guest, on the block device and on a file in each
 * file system. What each does is in guest/checker.sh, under the same name; the group `quick` is the shortest of each kind.
 */
import type { FileSystem, TestCase } from './cases.ts';

interface CheckerCase {
  readonly name: string;
  readonly on: 'block' | 'fs';
  readonly quick: boolean;
}

export const checkerCases: readonly CheckerCase[] = [
  { name: 'device', on: 'block', quick: true },
  { name: 'device-many-threads', on: 'block', quick: false },
  { name: 'device-bytes', on: 'block', quick: false },
  { name: 'file', on: 'fs', quick: true },
  { name: 'file-bytes', on: 'fs', quick: false },
];

/** The cases of a group on the bare disk first, then on each file system. */
export function checkerPlan(group: string, fileSystems: readonly FileSystem[]): TestCase[] {
  const chosen = checkerCases.filter(({ quick }) => quick || group === 'all');
  const places: FileSystem[] = ['block', ...fileSystems.filter((fs) => fs !== 'block')];
  return places.flatMap((fs) =>
    chosen
      .filter(({ on }) => (on === 'block') === (fs === 'block'))
      .map(({ name }) => ({ suite: 'checker' as const, fs, name })),
  );
}
