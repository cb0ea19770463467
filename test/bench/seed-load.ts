/**
 * What runs inside the guest for the seed's table: fio with psync and 4 jobs on ext4, on one disk after the other, and
 * its answers on the serial console. Pure: runs in, a shell script out; console in, figures out.
 */

/** The four tests of the commit, in its order. */
export const SEED_TESTS = ['randread', 'read', 'randwrite', 'write'] as const;
export type SeedTest = (typeof SEED_TESTS)[number];

/** One run of fio. `round` 0 warms up and is not counted; `side` is the number of the disk. */
export interface SeedRun {
  readonly round: number;
  readonly test: SeedTest;
  readonly side: number;
}

export interface SeedSettings {
  readonly rounds: number;
  readonly seconds: number;
  readonly jobs: number;
  readonly fileMib: number;
}

/** The order of the runs: in every round each test visits each disk, backwards in even rounds. */
export function seedRuns(rounds: number, sideCount: number): SeedRun[] {
  const runs: SeedRun[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (const test of SEED_TESTS) {
      const sides = Array.from({ length: sideCount }, (_, side) => side);
      if (round % 2 === 0) sides.reverse();
      for (const side of sides) runs.push({ round, test, side });
    }
  }
  return runs;
}

const label = ({ round, test, side }: SeedRun) => `${round}.${test}.${side}`;

/** The host reads its counters between these two; the guest is quiet for a second meanwhile. */
export const beginMark = (run: SeedRun) => `BEGIN ${label(run)}\n`;
export const startMark = (run: SeedRun) => `START ${label(run)}\n`;
const endMark = (run: SeedRun) => `END ${label(run)} `;
/** The guest has read the host's mind no more than the host the guest's: it waits this long for it. */
const HOST_SECONDS = 1;

/** The script of all runs. `serials`: of the disks, by which the guest finds them. */
export function seedScript(
  runs: readonly SeedRun[],
  serials: readonly string[],
  { seconds, jobs, fileMib }: SeedSettings,
): string {
  const disks = serials.map(
    (serial, side) => `
disk=$(basename "$(dirname "$(grep -lx ${serial} /sys/block/vd*/serial)")")
mkfs.ext4 -q -F /dev/$disk
mkdir -p /mnt/${side}
mount -t ext4 /dev/$disk /mnt/${side}
echo $disk >/tmp/disk${side}
fio $job --directory=/mnt/${side} --rw=randread --create_only=1 >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }`,
  );
  return `
set -e
job='--name=seed --ioengine=psync --bs=4k --numjobs=${jobs} --size=${fileMib}M --norandommap --randrepeat=0'
${disks.join('\n')}
# Every request there has been: reads, writes, discards, flushes.
requests() { awk '{ print $1 + $5 + $12 + $16 }' "/sys/block/$(cat /tmp/disk$1)/stat"; }
run() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  echo "BEGIN $1"
  sleep ${HOST_SECONDS}
  echo "START $1"
  before=$(requests $2)
  fio $job --directory=/mnt/$2 --rw=$3 --time_based --runtime=${seconds} --group_reporting \\
    --output-format=json >/tmp/out
  # What is still in the guest's page cache reaches the disk, too.
  sync
  echo "END $1 $(($(requests $2) - before)) $(tr -d '\\n\\t ' </tmp/out)"
}
${runs.map((run) => `run ${label(run)} ${run.side} ${run.test}`).join('\n')}
`;
}

export interface SeedFigures {
  /** As fio counts them: what its four jobs got through. */
  readonly iops: number;
  /** As the guest's disk counts them: what reached the back-end. */
  readonly requests: number;
}

interface FioOutput {
  readonly jobs: ReadonlyArray<{
    readonly error: number;
    readonly read: { readonly iops: number };
    readonly write: { readonly iops: number };
  }>;
}

/** What the guest said of a run, or null while it has not; throws when fio met an error. */
export function seedFigures(console: string, run: SeedRun): SeedFigures | null {
  const start = console.indexOf(endMark(run));
  const end = start < 0 ? -1 : console.indexOf('\n', start);
  if (end < 0) return null;
  const answer = console.slice(start + endMark(run).length, end);
  const [requests, json] = [Number.parseInt(answer, 10), answer.slice(answer.indexOf('{'))];
  const [group] = (JSON.parse(json) as FioOutput).jobs;
  if (group === undefined) throw new Error('fio reports no job');
  if (group.error !== 0) throw new Error(`fio met error ${group.error} in the guest`);
  const iops = Math.max(group.read.iops, group.write.iops);
  if (!(iops > 0) || !(requests > 0)) {
    throw new Error(`${label(run)}: ${iops} IOPS with ${requests} requests`);
  }
  return { iops, requests };
}
