/**
 * The words of fs-tests: a case is one test of a suite on one file system, a side is what serves the disks, a verdict is
 * how a case ended there. Types and their constants only; nothing here does anything.
 */

export const SUITES = ['packaged', 'checker', 'xfstests', 'blktests'] as const;
export type Suite = (typeof SUITES)[number];

export const FILE_SYSTEMS = ['ext4', 'xfs', 'btrfs'] as const;
/** `block`: the bare disk. */
export type FileSystem = (typeof FILE_SYSTEMS)[number] | 'block';

export const SIDES = ['vloop', 'virtio-blk'] as const;
export type Side = (typeof SIDES)[number];

/** The last three: the machine was lost with the case, and the next one gets a new one. */
export const VERDICTS = ['pass', 'fail', 'not run', 'panic', 'hang', 'back-end death'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface TestCase {
  readonly suite: Suite;
  readonly fs: FileSystem;
  /** As its suite names it: `generic/001`, `block/003`, `fio-verify`. */
  readonly name: string;
}

/** What the guest's kernel counted for one disk while a case ran. */
export interface DiskCounters {
  readonly reads: number;
  readonly sectorsRead: number;
  readonly writes: number;
  readonly sectorsWritten: number;
  readonly discards: number;
  readonly flushes: number;
}

export interface CaseResult {
  readonly suite: Suite;
  readonly fs: FileSystem;
  readonly name: string;
  readonly side: Side;
  readonly verdict: Verdict;
  /** Empty for a pass. */
  readonly reason: string;
  readonly seconds: number;
  /** The last lines that the test said, and for a lost machine the evidence; empty for a pass. */
  readonly output: string;
  /** By the disk's role. */
  readonly counters: Readonly<Record<string, DiskCounters>>;
  /** Which guest ran it: the name of its folder in the results. */
  readonly guest: string;
}

export const caseLabel = ({ fs, name }: Pick<TestCase, 'fs' | 'name'>) => `${fs} ${name}`;

/** A run is green when nothing of vloop's is anything else than these. */
export const isGreen = (verdict: Verdict) => verdict === 'pass' || verdict === 'not run';

/** What a user has to change: exit status 2. */
export class UsageError extends Error {}

/** What this machine cannot do: exit status 3. */
export class EnvironmentError extends Error {}
