/**
 * The set of back-ends that a row is measured on: vloop and its opponents, all on one file, started and stopped
 * together. Debian has no other vhost-user-blk back-end: QEMU's contrib/vhost-user-blk is not packaged, nor is SPDK.
 */
import {
  type BackEndName,
  type BackEndOptions,
  type BackEndProcess,
  type DaemonAio,
  startBackEnd,
} from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { BackingFile, BackingFiles } from './backing-files.ts';
import { BackEndContender, type Contender } from './contender.ts';
import { HostFio } from './host-fio.ts';
import type { OpponentName, Row } from './matrix.ts';

export const MEMORY_SIZE = '256M';
/** As many as the row with the most has; unused ones cost nothing. */
const QUEUES = 4;
const NO_FILE: BackingFile = { image: 'memory', through: [] };

export type ContenderOptions = {
  /** vloop, or qemu-storage-daemon to see the method's own noise. */
  ours: BackEndName;
  /** Further options of vloop's, for all rows. */
  vloop: readonly string[];
};

export class Contenders {
  readonly ours: BackEndContender;
  readonly #all: ReadonlyMap<string, Contender>;

  private constructor(ours: BackEndContender, opponents: ReadonlyMap<OpponentName, Contender>) {
    this.ours = ours;
    this.#all = opponents;
  }

  /** Starts what the rows need, which all are of one kind of file and have the same options for vloop. */
  static async start(
    workspace: Workspace,
    files: BackingFiles,
    rows: readonly Row[],
    options: ContenderOptions,
  ): Promise<Contenders> {
    const { file: kind, vloop } = rows[0]!;
    const direct = kind === 'direct';
    const file = kind === 'memory' ? NO_FILE : files.of(kind);
    const started: BackEndProcess[] = [];
    const start = async (
      name: BackEndName,
      label: string,
      aio: DaemonAio,
      further: BackEndOptions = {},
    ) => {
      const backEnd = await startBackEnd(name, workspace, file.image, {
        ...{ label, numQueues: QUEUES, through: file.through, daemonFile: { aio, direct } },
        ...further,
      });
      started.push(backEnd);
      return new BackEndContender(backEnd);
    };
    try {
      const label = options.ours === 'vloop' ? 'vloop' : 'same';
      const ours = await start(options.ours, label, 'io_uring', {
        ...(kind === 'memory' ? { memory: MEMORY_SIZE } : {}),
        vloopArguments: [
          ...(kind === 'memory' ? [] : [`--direct-io=${direct ? 'on' : 'off'}`]),
          ...[...vloop, ...options.vloop],
        ],
      });
      const opponents = new Map<OpponentName, Contender>();
      for (const name of new Set(rows.flatMap(({ against }) => against)))
        opponents.set(
          name,
          name === 'host'
            ? new HostFio(workspace, file, direct)
            : await start('qemu-storage-daemon', name, name),
        );
      return new Contenders(ours, opponents);
    } catch (error) {
      await Promise.all(started.map((backEnd) => backEnd.process.kill()));
      throw error;
    }
  }

  /** vloop first, then what the row is measured against. */
  forRow({ against, workload }: Row): Contender[] {
    const opponents = against
      .filter((name) => name !== 'host' || HostFio.runs(workload))
      .map((name) => this.#all.get(name)!);
    return [this.ours, ...opponents];
  }

  async stop(): Promise<void> {
    const all = [this.ours, ...this.#all.values()];
    await Promise.all(all.map(({ backEnd }) => backEnd?.stop()));
  }
}
