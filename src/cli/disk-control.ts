/**
 * A served disk behind the control plane's port: what each method means for its parts.
 */
import { resolve } from 'node:path';
import { featureNames } from '../blk/features.ts';
import { ControlError, type ControlledDisk, type DiskMethods } from '../control/controlled-disk.ts';
import type { DiskStatus } from '../control/schema/disk-status.ts';
import type { ParamsOf } from '../control/schema/methods.ts';
import { nextState } from '../loop/lifecycle.ts';
import type { TransferAnswer } from '../worker/messages.ts';
import { decodeWord } from '../worker/session-state.ts';
import { capacityBytes, QUIESCE_LIMIT_MS, requireFile, requireState } from './change-disk.ts';
import { configOf } from './disk-config.ts';
import { seeingMethods } from './disk-seeing.ts';
import { settingsMethods } from './disk-settings-control.ts';
import { takeNewSize } from './resize.ts';
import type { ServedDisk } from './served-disk.ts';

export function controlledDisk(served: ServedDisk): ControlledDisk {
  const { name, open, socket } = served;
  const words = [open.backing?.path ?? null, socket.path];
  const aliases = words.filter((word) => word !== null).flatMap((path) => [path, resolve(path)]);
  return { name, aliases, methods: methodsOf(served) };
}

function methodsOf(served: ServedDisk): DiskMethods {
  const { open, server, emit, log } = served;
  const { freeze } = open.disk;
  return {
    disk_get_status: () => statusOf(served),
    ...seeingMethods(served),
    async disk_get_partitions() {
      const { partitionsOf } = await import('./disk-partitions.ts');
      return await partitionsOf(served);
    },
    disk_get_config: () => configOf(open.options, statusOf(served)),
    async disk_quiesce({ timeout_ms = QUIESCE_LIMIT_MS }) {
      requireState(served, 'quiesce');
      const refusal = await open.turn.take(() => freeze.quiesce(timeout_ms));
      if (refusal !== null) throw new ControlError('EBUSY', `${refusal}: the disk goes on`);
      log.info('the disk stands still until it is resumed');
      emit('disk_quiesced');
      return null;
    },
    async disk_resume() {
      if (!freeze.quiesced) throw new ControlError('EINVAL', 'the disk does not stand still');
      await open.turn.take(() => freeze.resume());
      log.info('the disk goes on');
      emit('disk_resumed');
      return null;
    },
    async disk_set_capacity() {
      requireState(served, 'set_capacity');
      requireFile(served);
      const oldBytes = capacityBytes(served);
      await takeNewSize(served);
      return { size: capacityBytes(served), old_size: oldBytes };
    },
    disk_transfer_ioctl: (params) => transferIoctl(served, params),
    ...settingsMethods(served, () => statusOf(served)),
    disk_detach({ force = false }) {
      requireState(served, 'clear');
      const next = nextState('bound', 'clear', !force && server.connection !== null);
      log.info({ state: next, force }, 'the disk is detached');
      if (next === 'rundown') server.stop();
      else server.finish();
      return {
        state: server.stopping ? 'rundown' : 'autoclear',
        in_flight: open.workers.figures.allInFlight,
      };
    },
  };
}

async function transferIoctl(
  { open }: ServedDisk,
  { command, argument = null }: ParamsOf<'disk_transfer_ioctl'>,
): Promise<unknown[]> {
  const answers = await open.workers.askAll({ kind: 'transferIoctl', command, argument });
  return (answers as TransferAnswer[]).map(({ json, refusal }) => {
    if (json === null) throw new ControlError('EINVAL', refusal ?? 'no answer');
    return JSON.parse(json) as unknown;
  });
}

function statusOf(served: ServedDisk): DiskStatus {
  const { name, open, socket, server } = served;
  const { backing, choice, disk, transfer, workers } = open;
  const { shape } = disk;
  const { offsetBytes = 0, sizeLimitBytes = 0 } = backing?.settings ?? {};
  return {
    name,
    state: server.stopping ? 'rundown' : 'bound',
    connected: server.connection !== null,
    quiesced: disk.freeze.quiesced,
    autoclear: server.finishing,
    connections: server.taken.connections,
    back_file: backing === null ? null : resolve(backing.path),
    socket: socket.path === null ? null : resolve(socket.path),
    pid: process.pid,
    size: capacityBytes(served),
    offset: offsetBytes,
    size_limit: sizeLimitBytes,
    block_size: shape.blockSizeBytes,
    read_only: shape.readOnly,
    direct_io: backing?.direct ?? false,
    direct_io_reason: backing?.directReason ?? 'the disk is in memory',
    direct_io_setting: backing?.settings.directIo ?? open.options.directIo,
    engine: choice.engine,
    engine_reason: choice.engineReason,
    io_path: choice.path,
    io_path_reason: choice.pathReason,
    transfer: transfer?.name ?? null,
    serial: shape.serial,
    queues: shape.queueCount,
    workers: workers.count,
    in_flight: workers.figures.allInFlight,
    features: featureNames(decodeWord(disk.state().features)),
  };
}

/** What the disks of one process are called: as asked, else as their files, each name once. */
export function diskNames(
  disks: ReadonlyArray<{ readonly name: string | null; readonly blkFile: string | null }>,
): string[] {
  const taken = new Set<string>();
  return disks.map(({ name, blkFile }) => {
    const wish = name ?? nameOfFile(blkFile);
    let unique = wish;
    for (let n = 2; taken.has(unique); n++) unique = `${wish}-${n}`;
    taken.add(unique);
    return unique;
  });
}

function nameOfFile(path: string | null): string {
  if (path === null) return 'memory';
  const word = (path.split('/').at(-1) ?? '').replace(/[^A-Za-z0-9._+@-]/g, '_');
  return word.replace(/^[^A-Za-z0-9]+/, '').slice(0, 64) || 'disk';
}
