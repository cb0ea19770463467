/**
 * The options of fs-tests, declared once: parsing and --help derive from the table. Pure: looks at no file. What cannot be
 * carried out is a UsageError with one line.
 */
import { parseStrictly } from '../../src/cli/strict-arguments.ts';
import { FILE_SYSTEMS, type FileSystem, SUITES, type Suite, UsageError } from './cases.ts';

interface OptionRow {
  readonly value: string | null;
  readonly meaning: string;
  readonly several?: true;
}

export const optionTable = {
  suite: {
    value: 'NAMES',
    meaning: 'packaged (the default), checker, xfstests, blktests; several with commas',
  },
  fs: { value: 'NAMES', meaning: 'ext4, xfs, btrfs (xfstests: ext4,xfs; others: all)' },
  group: {
    value: 'NAME',
    meaning:
      "packaged, checker: all or quick; xfstests: its own, with commas (quick,rw,…); blktests: none, its device's cases",
  },
  set: {
    value: 'NAME=VALUE',
    meaning: 'a setting of xfstests, as MKFS_OPTIONS="-b 1024", MOUNT_OPTIONS; may be repeated',
    several: true,
  },
  list: { value: 'FILE', meaning: 'tests to run, one a line; # begins a comment' },
  exclude: { value: 'NAMES', meaning: 'tests to leave out, with commas' },
  'xfstests-dir': { value: 'DIR', meaning: 'source tree of xfstests; without it, its public git' },
  'blktests-dir': { value: 'DIR', meaning: 'source tree of blktests; without it, its public git' },
  kernel: { value: 'FILE', meaning: 'a bzImage of yours instead of Debian 13’s kernel' },
  modules: {
    value: 'DIR',
    meaning:
      'its modules: lib/modules/VERSION, or a directory that has it; without, drivers are built in',
  },
  append: {
    value: 'TEXT',
    meaning: 'more for the guest’s kernel command line, as panic_on_warn=1',
  },
  compare: { value: null, meaning: "each test also on QEMU's own virtio-blk; prints what differs" },
  guests: { value: 'N', meaning: 'guests side by side (by CPUs and free memory)' },
  vcpus: { value: 'N', meaning: 'CPUs of a guest (2; xfstests under TCG: 1)' },
  'memory-mib': { value: 'N', meaning: 'memory of a guest (2048)' },
  timeout: {
    value: 'SECONDS',
    meaning: 'a test that takes longer is a hang (xfstests 900, others 240)',
  },
  output: { value: 'DIR', meaning: 'where results go (fs-tests-results)' },
  vloop: { value: 'OPTION', meaning: 'a further option for vloop; may be repeated', several: true },
  qemu: { value: 'PROGRAM', meaning: 'another QEMU (qemu-system-x86_64)' },
  'print-plan': { value: null, meaning: 'print the tests that would run, and exit' },
  help: { value: null, meaning: 'print this, and exit' },
} as const satisfies Readonly<Record<string, OptionRow>>;

type OptionName = keyof typeof optionTable;

export interface RunOptions {
  readonly help: boolean;
  readonly printPlan: boolean;
  readonly suites: readonly Suite[];
  /** Null: what each suite has by default. */
  readonly fileSystems: readonly FileSystem[] | null;
  readonly group: string | null;
  /** Settings of xfstests. */
  readonly settings: ReadonlyArray<readonly [name: string, value: string]>;
  readonly listFile: string | null;
  /** Tests named one by one. */
  readonly tests: readonly string[];
  readonly exclude: readonly string[];
  readonly xfstestsDir: string | null;
  readonly blktestsDir: string | null;
  readonly kernel: string | null;
  readonly modules: string | null;
  /** For the kernel's command line; may be empty. */
  readonly append: string;
  readonly compare: boolean;
  /** Null: by the number of CPUs. */
  readonly guestCount: number | null;
  /** Null: by suite and accelerator. */
  readonly vcpus: number | null;
  readonly memoryMib: number;
  /** Null: what each suite has by default. */
  readonly timeoutSeconds: number | null;
  readonly output: string;
  readonly vloop: readonly string[];
  readonly qemu: string;
}

type Values = Partial<Record<OptionName, string | boolean | string[]>>;

const PARSE_OPTIONS = Object.fromEntries(
  Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => [
    name,
    {
      type: row.value === null ? ('boolean' as const) : ('string' as const),
      multiple: row.several ?? false,
    },
  ]),
);

/** Turns argv (without node and script) into what is asked. Throws UsageError. */
export function parseCommandLine(args: readonly string[]): RunOptions {
  const parsed = parseStrictly(args, PARSE_OPTIONS, (sentence) => {
    throw new UsageError(`${sentence} (see --help)`);
  });
  const { values, positionals }: { values: Values; positionals: string[] } = parsed;
  const options: RunOptions = {
    help: values.help === true,
    printPlan: values['print-plan'] === true,
    suites: names(values, 'suite', SUITES) ?? ['packaged'],
    fileSystems: names(values, 'fs', FILE_SYSTEMS),
    group: text(values, 'group'),
    settings: ((values.set as string[] | undefined) ?? []).map(setting),
    listFile: text(values, 'list'),
    tests: positionals,
    exclude: text(values, 'exclude')?.split(',') ?? [],
    xfstestsDir: text(values, 'xfstests-dir'),
    blktestsDir: text(values, 'blktests-dir'),
    kernel: text(values, 'kernel'),
    modules: text(values, 'modules'),
    append: text(values, 'append') ?? '',
    compare: values.compare === true,
    guestCount: integer(values, 'guests', 1, 64),
    vcpus: integer(values, 'vcpus', 1, 64),
    memoryMib: integer(values, 'memory-mib', 512, 1 << 20) ?? 2048,
    timeoutSeconds: integer(values, 'timeout', 5, 86_400),
    output: text(values, 'output') ?? 'fs-tests-results',
    vloop: (values.vloop as string[] | undefined) ?? [],
    qemu: text(values, 'qemu') ?? 'qemu-system-x86_64',
  };
  const ways = [options.group !== null, options.listFile !== null, options.tests.length > 0];
  if (ways.filter(Boolean).length > 1) {
    throw new UsageError('--group, --list and tests by name exclude each other');
  }
  if (options.modules !== null && options.kernel === null) {
    throw new UsageError('--modules belong to a kernel of yours: give it with --kernel=FILE');
  }
  if (options.settings.length > 0 && !options.suites.includes('xfstests')) {
    throw new UsageError('--set is for --suite=xfstests');
  }
  if (options.suites.length > 1 && (options.listFile !== null || options.tests.length > 0)) {
    throw new UsageError('tests by name belong to one --suite');
  }
  return options;
}

/** What fs-tests itself decides: the disks, where they are mounted, and where results go. */
const OWN_SETTINGS =
  /^(FSTYP|TEST_DEV|TEST_DIR|SCRATCH_DEV|SCRATCH_DEV_POOL|SCRATCH_MNT|LOGWRITES_DEV|RESULT_BASE|HOST_OPTIONS|PATH)$/;

function setting(text: string): [name: string, value: string] {
  const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined || value.includes('\n')) {
    throw new UsageError(`--set=${text}: expected NAME=VALUE, as MKFS_OPTIONS=-b 1024`);
  }
  if (OWN_SETTINGS.test(name)) throw new UsageError(`--set=${text}: fs-tests itself sets ${name}`);
  return [name, value];
}

function text(values: Values, name: OptionName): string | null {
  const value = values[name];
  if (typeof value !== 'string') return null;
  if (value === '') throw new UsageError(`--${name}= is empty`);
  return value;
}

function names<const T extends string>(
  values: Values,
  name: OptionName,
  allowed: readonly T[],
): T[] | null {
  const value = text(values, name);
  if (value === null) return null;
  return [...new Set(value.split(','))].map((word) => {
    const found = allowed.find((candidate) => candidate === word);
    if (found !== undefined) return found;
    throw new UsageError(`--${name}=${value}: no "${word}", expected ${allowed.join(', ')}`);
  });
}

function integer(values: Values, name: OptionName, min: number, max: number): number | null {
  const value = text(values, name);
  if (value === null) return null;
  const parsed = Number(value);
  if (/^\d+$/.test(value) && parsed >= min && parsed <= max) return parsed;
  throw new UsageError(`--${name}=${value}: expected a number from ${min} to ${max}`);
}

/** The text of --help. */
export function helpText(): string {
  const rows = Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => {
    const left = row.value === null ? `--${name}` : `--${name}=${row.value}`;
    return `  ${left.padEnd(20)} ${row.meaning}`;
  });
  return [
    'fs-tests: boots guests whose disks are vloop sockets and runs file-system tests on them',
    '',
    '  npm run fs-tests -- [options] [test…]',
    '',
    ...rows,
    '',
    'Exit status: 0 nothing failed, 1 a test failed, 2 the command line or a kernel that cannot be used, 3 this machine cannot, 130 interrupted, 143 terminated.',
    '',
  ].join('\n');
}
