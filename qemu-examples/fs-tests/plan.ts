/**
 * From what is asked to the list of cases: groups, list files, names, exclusions, each checked against what the suite has.
 * Pure: the suites' group lists come in as text.
 */
import { type FileSystem, type Suite, type TestCase, UsageError } from './cases.ts';
import { checkerCases, checkerPlan } from './checker-cases.ts';
import type { RunOptions } from './options.ts';
import { packagedCases, packagedPlan } from './packaged-cases.ts';

/** What the trees have: for xfstests each folder's group.list; for blktests the names of the device cases. */
export interface TreeLists {
  readonly xfstests: ReadonlyMap<string, string>;
  readonly blktests: readonly string[];
}

export interface Asked {
  readonly options: RunOptions;
  /** The text of --list, or of xfstests' list when nothing was asked. */
  readonly listText: string | null;
  readonly defaultList: string;
}

const DEFAULT_FILE_SYSTEMS: Readonly<Record<Suite, readonly FileSystem[]>> = {
  packaged: ['ext4', 'xfs', 'btrfs'],
  checker: ['ext4', 'xfs', 'btrfs'],
  xfstests: ['ext4', 'xfs'],
  blktests: ['block'],
};

/** Of the suites whose cases are in this project. */
const OWN_GROUPS = ['all', 'quick'] as const;

/** Test → groups it is in. */
export function parseGroupList(folder: string, groupList: string): Map<string, readonly string[]> {
  const rows = listedTests(groupList).map((line): [string, readonly string[]] => {
    const [number, ...groups] = line.split(/\s+/);
    return [`${folder}/${number}`, groups];
  });
  return new Map(rows);
}

/** The lines of a list without comments and blanks. */
export function listedTests(listText: string): string[] {
  return listText
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean);
}

export function makePlan(asked: Asked, lists: TreeLists): TestCase[] {
  const { options } = asked;
  const cases = options.suites.flatMap((suite) => {
    if (suite === 'packaged') return planOwn(asked, suite, packagedPlan, packagedCases);
    if (suite === 'checker') return planOwn(asked, suite, checkerPlan, checkerCases);
    if (suite === 'blktests') return planBlktests(asked, lists);
    return planXfstests(asked, lists);
  });
  for (const name of options.exclude) {
    if (!cases.some((test) => test.name === name)) {
      throw new UsageError(`--exclude=${name}: it is not among the ${cases.length} tests`);
    }
  }
  const kept = cases.filter(({ name }) => !options.exclude.includes(name));
  if (kept.length === 0) throw new UsageError('nothing is left to run');
  return kept;
}

function fileSystemsOf(suite: Suite, { fileSystems }: RunOptions): readonly FileSystem[] {
  return fileSystems ?? DEFAULT_FILE_SYSTEMS[suite];
}

/** Names from the command line or the list; null when a group was asked, or nothing. */
function namedTests({ options, listText }: Asked): string[] | null {
  if (options.tests.length > 0) return [...new Set(options.tests)];
  return listText === null ? null : [...new Set(listedTests(listText))];
}

/** A suite whose cases are in this project. */
function planOwn(
  asked: Asked,
  suite: Suite,
  casesOf: (group: string, fileSystems: readonly FileSystem[]) => TestCase[],
  all: ReadonlyArray<{ readonly name: string }>,
): TestCase[] {
  const { group } = asked.options;
  if (group !== null && !OWN_GROUPS.some((known) => known === group)) {
    throw new UsageError(`--group=${group}: ${suite} has ${OWN_GROUPS.join(' and ')}`);
  }
  const plan = casesOf(group ?? 'all', fileSystemsOf(suite, asked.options));
  const named = namedTests(asked);
  if (named === null) return plan;
  const unknown = named.find((name) => !plan.some((test) => test.name === name));
  if (unknown === undefined) return plan.filter(({ name }) => named.includes(name));
  const known = all.map(({ name }) => name).join(', ');
  throw new UsageError(`no test ${unknown} in ${suite}, which has ${known}`);
}

function planBlktests(asked: Asked, { blktests }: TreeLists): TestCase[] {
  const { group, suites } = asked.options;
  if (group !== null && suites.length === 1) {
    throw new UsageError(`--group=${group}: blktests runs its cases for a disk, without groups`);
  }
  const named = namedTests(asked);
  const unknown = named?.find((name) => !blktests.includes(name));
  if (unknown !== undefined) throw new UsageError(`no test ${unknown} in blktests for a disk`);
  return (named ?? blktests).map((name) => ({ suite: 'blktests', fs: 'block', name }));
}

function planXfstests(asked: Asked, { xfstests }: TreeLists): TestCase[] {
  const { group } = asked.options;
  const groups = new Map(
    [...xfstests].flatMap(([folder, text]) => [...parseGroupList(folder, text)]),
  );
  const names = group === null ? (namedTests(asked) ?? listedTests(asked.defaultList)) : null;
  const unknown = names?.find((name) => !groups.has(name));
  if (unknown !== undefined) throw new UsageError(`no test ${unknown} in this tree of xfstests`);
  const wanted = group?.split(',') ?? [];
  const all = new Set([...groups.values()].flat());
  const unheard = wanted.find((name) => !all.has(name));
  if (unheard !== undefined) {
    throw new UsageError(`--group=${group}: no test of this tree of xfstests is in ${unheard}`);
  }
  const fileSystems = fileSystemsOf('xfstests', asked.options);
  // The folder of another file system has nothing to say here; `shared` and `generic` have.
  const isFor = (fs: FileSystem, name: string) =>
    ['generic', 'shared', fs].includes(name.split('/')[0]!);
  const ofNone = names?.find((name) => !fileSystems.some((fs) => isFor(fs, name)));
  if (ofNone !== undefined) {
    throw new UsageError(`no file system of --fs=${fileSystems.join()} has the test ${ofNone}`);
  }
  const inGroup = [...groups].filter(([, of]) => wanted.some((name) => of.includes(name)));
  const chosen = names ?? inGroup.map(([name]) => name);
  return fileSystems.flatMap((fs) =>
    chosen
      .filter((name) => isFor(fs, name))
      .map((name) => ({ suite: 'xfstests' as const, fs, name })),
  );
}
