/**
 * The methods of the control plane that change a disk's settings or its file.
 */
import { resolve } from 'node:path';
import { ControlError, type DiskMethods } from '../control/controlled-disk.ts';
import type { DiskStatus } from '../control/schema/disk-status.ts';
import type { ParamsOf } from '../control/schema/methods.ts';
import type { DiskSettings } from '../loop/geometry.ts';
import { changeSettings, requireState } from './change-disk.ts';
import { changeFile } from './change-file.ts';
import type { ServedDisk } from './served-disk.ts';

type SettingsMethods = Pick<
  DiskMethods,
  'disk_set_status' | 'disk_set_direct_io' | 'disk_set_block_size' | 'disk_change_file'
>;

export function settingsMethods(served: ServedDisk, status: () => DiskStatus): SettingsMethods {
  return {
    async disk_set_status(params) {
      requireState(served, 'set_status');
      requireReadOnly(served, params.read_only);
      await changeSettings(served, wishOf(params));
      if (params.autoclear !== undefined && params.autoclear !== served.server.finishing) {
        served.server.finishing = params.autoclear;
        served.emit('disk_changed');
      }
      return status();
    },
    async disk_set_direct_io({ direct_io }) {
      requireState(served, 'set_direct_io');
      await changeSettings(served, directIoWish(direct_io));
      return status();
    },
    async disk_set_block_size({ block_size }) {
      requireState(served, 'set_block_size');
      await changeSettings(served, { blockSizeBytes: Number(block_size) });
      return status();
    },
    async disk_change_file({ file, quiesced = false, resize = false }) {
      await changeFile(served, { file: resolve(file), quiesced, resize });
      return status();
    },
  };
}

/** LOOP_SET_STATUS64 cannot set the flag either: it says how the file was opened. */
function requireReadOnly({ open }: ServedDisk, readOnly: boolean | undefined): void {
  const is = open.disk.shape.readOnly;
  if (readOnly === undefined || readOnly === is) return;
  throw new ControlError(
    'EINVAL',
    `read_only=${readOnly}: the disk is ${is ? 'read-only' : 'writable'}, which is decided when it is attached`,
  );
}

function directIoWish(wish: boolean | 'auto'): Pick<DiskSettings, 'directIo'> {
  if (wish === 'auto') return { directIo: 'auto' };
  return { directIo: wish ? 'on' : 'off' };
}

function wishOf(params: ParamsOf<'disk_set_status'>): Partial<DiskSettings> {
  const { offset, size_limit, direct_io, block_size } = params;
  return {
    ...(offset === undefined ? {} : { offsetBytes: offset }),
    ...(size_limit === undefined ? {} : { sizeLimitBytes: size_limit }),
    ...(direct_io === undefined ? {} : directIoWish(direct_io)),
    ...(block_size === undefined ? {} : { blockSizeBytes: Number(block_size) }),
  };
}
