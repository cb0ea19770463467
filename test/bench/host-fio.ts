/**
 * The host's own limit: fio with io_uring straight on the file, one job for each queue of the workload. No ring is
 * shared and no process woken on the way, so a back-end that comes near it costs nothing, and one that passes it has
 * batched better. Buffers are not registered, because a back-end cannot register a guest's memory either.
 */
import { type BackEndProcess, processCpuSeconds } from '../support/back-end-process.ts';
import { mustRun } from '../support/bounded-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { BackingFile } from './backing-files.ts';
import type { Client, Measurement } from './client.ts';
import type { Contender } from './contender.ts';
import type { Operation, Workload } from './workload.ts';

const GRACE_MS = 20_000;

const RW: Readonly<Partial<Record<Operation, string>>> = {
  randread: 'randread',
  randwrite: 'randwrite',
  randrw: 'randrw',
  read: 'read',
  write: 'write',
};

type Direction = {
  total_ios: number;
  /** From before the submission: cached reads complete within it. */
  lat_ns?: { percentile?: Readonly<Record<string, number>> };
};

/** What is used of fio's JSON, of the one group that its jobs are reported as. */
type FioAnswer = {
  jobs: readonly {
    error: number;
    /** Milliseconds, added up over the jobs. */
    job_runtime: number;
    read: Direction;
    write: Direction;
  }[];
};

export class HostFio implements Contender {
  readonly label = 'host';
  readonly backEnd: BackEndProcess | undefined = undefined;
  readonly #workspace: Workspace;
  readonly #file: BackingFile;
  readonly #direct: boolean;

  constructor(workspace: Workspace, file: BackingFile, direct: boolean) {
    this.#workspace = workspace;
    this.#file = file;
    this.#direct = direct;
  }

  static runs({ operation, ratePerSecond }: Workload): boolean {
    return RW[operation] !== undefined && ratePerSecond === null;
  }

  async measure(_client: Client, workload: Workload, seconds: number): Promise<Measurement> {
    const { root } = this.#workspace;
    const command = root.argv(this.#command(workload, seconds));
    const before = endedChildrenCpuSeconds();
    const output = await mustRun([...this.#file.through, ...command], seconds * 1000 + GRACE_MS);
    // fio itself counts its threads without the kernel's workers, which do all buffered writes.
    const cpuSeconds = endedChildrenCpuSeconds() - before;
    return { ...readFioAnswer(output, workload.queues), cpuSeconds };
  }

  #command({ operation, sizeBytes, depth, queues }: Workload, seconds: number): string[] {
    const job = {
      name: 'host',
      filename: this.#workspace.inside(this.#file.image),
      ioengine: 'io_uring',
      rw: RW[operation] ?? operation,
      bs: sizeBytes,
      iodepth: depth,
      numjobs: queues,
      direct: this.#direct ? 1 : 0,
      // fio drops a file from the page cache before it starts unless told otherwise.
      invalidate: 0,
      runtime: `${Math.round(seconds * 1000)}ms`,
      random_generator: 'tausworthe64',
      ...{ lat_percentiles: 1, clat_percentiles: 0 },
      'output-format': 'json',
    };
    const flags = ['--thread', '--time_based', '--norandommap', '--group_reporting'];
    return ['fio', ...Object.entries(job).map(([name, value]) => `--${name}=${value}`), ...flags];
  }
}

function endedChildrenCpuSeconds(): number {
  return processCpuSeconds('self', { withChildren: true }) - processCpuSeconds('self');
}

/** `jobs` is how many threads share the group: fio adds their times up. */
export function readFioAnswer(output: string, jobs: number): Measurement {
  // fio prints its warnings before the JSON.
  const { jobs: groups } = JSON.parse(output.slice(output.indexOf('{'))) as FioAnswer;
  const group = groups[0];
  if (group === undefined || group.error !== 0)
    throw new Error(`fio failed: ${output.slice(0, 500)}`);
  const { read, write, job_runtime: runtimeMs } = group;
  const busier = read.total_ios >= write.total_ios ? read : write;
  const percentile = (percent: string) => (busier.lat_ns?.percentile?.[percent] ?? 0) / 1000;
  return {
    requests: read.total_ios + write.total_ios,
    seconds: runtimeMs / 1000 / jobs,
    latencyUs: {
      p50: percentile('50.000000'),
      p99: percentile('99.000000'),
      p999: percentile('99.900000'),
    },
  };
}
