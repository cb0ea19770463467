/**
 * What runs inside the guest: fio on one disk after the other, and its answers on the serial console between
 * marks, one line of JSON each. Pure: workloads in, a shell script out; console in, figures out.
 */

export interface GuestWorkload {
  readonly name: string;
  readonly rw: 'randread' | 'randwrite';
  readonly depth: number;
}

export const guestWorkloads: readonly GuestWorkload[] = [
  { name: '4k randread, depth 1', rw: 'randread', depth: 1 },
  { name: '4k randread, depth 32', rw: 'randread', depth: 32 },
  { name: '4k randwrite, depth 32', rw: 'randwrite', depth: 32 },
];

/** One run of fio: which workload, on which disk. `round` 0 warms up and is not counted. */
export interface GuestRun {
  readonly round: number;
  readonly workload: number;
  readonly side: number;
}

/**
 * The order of the runs. In each round every workload visits every disk before the next workload, forwards in
 * odd rounds and backwards in even ones, so that no disk gains from what another has left behind.
 */
export function guestRuns(rounds: number, workloadCount: number, sideCount: number): GuestRun[] {
  const runs: GuestRun[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (let workload = 0; workload < workloadCount; workload++) {
      const sides = Array.from({ length: sideCount }, (_, side) => side);
      if (round % 2 === 0) sides.reverse();
      for (const side of sides) runs.push({ round, workload, side });
    }
  }
  return runs;
}

const label = ({ round, workload, side }: GuestRun) => `${round}.${workload}.${side}`;

/** What the console shows before a run, and with its answer behind it when the run is over. */
export const beginMark = (run: GuestRun) => `BEGIN ${label(run)}\n`;
const endMark = (run: GuestRun) => `END ${label(run)} `;

/** The script of all runs. `serials`: the disks' serials, by which the guest finds them. */
export function guestScript(
  runs: readonly GuestRun[],
  serials: readonly string[],
  seconds: number,
): string {
  const find = serials.map(
    (serial, side) =>
      `disk${side}=/dev/$(basename "$(dirname "$(grep -lx ${serial} /sys/block/vd*/serial)")")`,
  );
  const lines = runs.map((run) => {
    const { rw, depth } = guestWorkloads[run.workload]!;
    return `run ${label(run)} $disk${run.side} ${rw} ${depth}`;
  });
  return `
set -e
${find.join('\n')}
run() {
  sync
  echo "BEGIN $1"
  fio --name=run --filename=$2 --rw=$3 --iodepth=$4 --bs=4k --direct=1 --ioengine=io_uring \\
    --time_based --runtime=${seconds} --norandommap --randrepeat=0 --output-format=json >/tmp/out
  echo "END $1 $(tr -d '\\n\\t ' </tmp/out)"
}
${lines.join('\n')}
`;
}

export interface FioFigures {
  readonly iops: number;
  readonly requests: number;
}

/** What fio said of a run, or null while it has not; throws when fio met an error. */
export function runFigures(console: string, run: GuestRun): FioFigures | null {
  const start = console.indexOf(endMark(run));
  if (start < 0) return null;
  const end = console.indexOf('\n', start);
  if (end < 0) return null;
  return fioFigures(console.slice(start + endMark(run).length, end));
}

interface FioOutput {
  readonly jobs: ReadonlyArray<{
    readonly error: number;
    readonly read: { readonly iops: number; readonly total_ios: number };
    readonly write: { readonly iops: number; readonly total_ios: number };
  }>;
}

/** The figures of fio's JSON for one job that only reads or only writes. */
export function fioFigures(json: string): FioFigures {
  const [job] = (JSON.parse(json) as FioOutput).jobs;
  if (job === undefined) throw new Error('fio reports no job');
  if (job.error !== 0) throw new Error(`fio met error ${job.error} in the guest`);
  const { iops, total_ios: requests } = job.read.total_ios > 0 ? job.read : job.write;
  if (!(requests > 0)) throw new Error('fio reports no request');
  return { iops, requests };
}
