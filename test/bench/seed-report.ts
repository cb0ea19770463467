/**
 * The seed's table: what its commit message says of 2015 beside what was measured here. Pure: rounds in, Markdown out.
 */
import { SEED_TESTS, type SeedTest } from './seed-load.ts';
import { median, ratios, summarize } from './statistics.ts';

export const SEED_SIDES = ['buffered', 'direct AIO'] as const;
export type SeedSide = (typeof SEED_SIDES)[number];

/** bc07c10a36, "block: loop: support DIO & AIO", August 2015: IOPS of "base" and of "base+loop aio". */
export const SEED_2015: Readonly<Record<SeedTest, Readonly<Record<SeedSide, number>>>> = {
  randread: { buffered: 8015, 'direct AIO': 8136 },
  read: { buffered: 113_811, 'direct AIO': 125_040 },
  randwrite: { buffered: 67_442, 'direct AIO': 67_811 },
  write: { buffered: 106_978, 'direct AIO': 111_376 },
};

export interface SeedRound {
  readonly test: SeedTest;
  readonly side: SeedSide;
  readonly iops: number;
  readonly requests: number;
  readonly switches: number;
  /** The host's page cache, from the start of the run to its end; null where the kernel cannot tell of a file. */
  readonly buffersKib: number;
  readonly cachedKib: number;
  readonly imageKib: number | null;
}

const thousands = (value: number) => Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');

function rangeOf(values: readonly number[], text: (value: number) => string): string {
  const { min, max } = summarize(values);
  return `${text(median(values))} (${text(min)}–${text(max)})`;
}

/** Whole MiB; what rounds to nothing has no sign. */
const mib = (kib: number) => String(Math.round(kib / 1024) + 0);

export function seedTable(rounds: readonly SeedRound[]): string {
  const of = (test: SeedTest, side: SeedSide) =>
    rounds.filter((round) => round.test === test && round.side === side);
  const iopsRows = SEED_TESTS.map((test) => {
    const [buffered, direct] = SEED_SIDES.map((side) => of(test, side).map(({ iops }) => iops));
    const then = SEED_2015[test];
    const times = then['direct AIO'] / then.buffered;
    return [
      test,
      thousands(then.buffered),
      thousands(then['direct AIO']),
      times.toFixed(2),
      rangeOf(buffered!, thousands),
      rangeOf(direct!, thousands),
      rangeOf(ratios(direct!, buffered!), (value) => value.toFixed(2)),
    ];
  });
  const costRows = SEED_TESTS.flatMap((test) =>
    SEED_SIDES.map((side) => {
      const found = of(test, side);
      const images = found.flatMap(({ imageKib }) => (imageKib === null ? [] : [imageKib]));
      return [
        test,
        side,
        rangeOf(
          found.map(({ switches, requests }) => switches / requests),
          (value) => value.toFixed(2),
        ),
        thousands(median(found.map(({ requests }) => requests))),
        rangeOf(
          found.map(({ cachedKib }) => cachedKib),
          mib,
        ),
        rangeOf(
          found.map(({ buffersKib }) => buffersKib),
          mib,
        ),
        images.length === 0 ? '-' : rangeOf(images, mib),
      ];
    }),
  );
  return [
    '| IOPS | 2015 buffered | 2015 direct AIO | × | vloop buffered | vloop direct AIO | × |',
    '|---|--:|--:|--:|--:|--:|--:|',
    ...iopsRows.map(row),
    '',
    '| test | back-end | context switches a request | requests | host: Cached, MiB | Buffers, MiB | the image, MiB |',
    '|---|---|--:|--:|--:|--:|--:|',
    ...costRows.map(row),
  ].join('\n');
}

const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** The page that the repository keeps. */
export function seedPage(conditions: readonly string[], rounds: readonly SeedRound[]): string {
  return `# The seed's table, again

Written by \`make bench-seed BENCH_ARGS=--page=test/bench/SEED.md\`; not edited by hand.

vloop carries the loop driver of Linux commit bc07c10a36 ("block: loop: support DIO & AIO", 2015). Its message has a table: fio with
psync and 4 jobs on ext4 on a loop device on an SSD, in a KVM guest with 4 CPUs and 2 GiB, buffered ("base") against direct I/O and AIO. It claims
that IOPS get a little better, that context switches about halve, and that the page cache of the host is hardly used. The same here:
ext4 in a guest, on a vloop disk with \`--direct-io=off\` against one with \`--direct-io=on\`.

${conditions.map((line) => `* ${line}`).join('\n')}

${seedTable(rounds)}

Medians over the rounds, with their ranges; × is direct over buffered, round by round. *IOPS* are fio's: jobs that read and write through the
guest's own page cache. *Requests* are what reached the back-end, as the guest's disk counts them. *Context switches* are those of all threads
of the vloop process, voluntary or not (\`/proc/PID/task/*/status\`), those of io_uring's own threads that live at the end included. *Cached*
(without shared memory, which holds the guest) and *Buffers* are how far they grew in \`/proc/meminfo\` during the run: other programs of the host move
them, too; *the image* is the growth of that file's own pages (cachestat), exact. The image is taken out of the host's page cache before each run.
`;
}
