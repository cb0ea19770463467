/**
 * What attaches disks: the daemon of the run directory where there is one, else this process, which then has nothing
 * more to do with them.
 */
import { RpcClient } from '../../control/rpc-client.ts';
import type { DiskConfig } from '../../control/schema/disk-config.ts';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import { openLog } from '../../log.ts';
import { Fleet } from '../daemon/fleet.ts';
import { controlPath, DAEMON_NAME, makeRunDirectory } from '../run-directory.ts';

export interface Attacher {
  attach(disk: DiskConfig): Promise<DiskStatus>;
  load(disks: readonly DiskConfig[]): Promise<readonly DiskStatus[]>;
  save(): Promise<readonly DiskConfig[]>;
}

/** Null: none runs. */
async function connectToDaemon(directory: string): Promise<RpcClient | null> {
  try {
    return await RpcClient.connect(controlPath(directory, DAEMON_NAME));
  } catch {
    return null;
  }
}

export async function withAttacher<T>(use: (attacher: Attacher) => Promise<T>): Promise<T> {
  const directory = makeRunDirectory();
  const daemon = await connectToDaemon(directory);
  if (daemon === null) return await use(new Fleet(directory, await openLog('warn', 'auto'), false));
  try {
    return await use({
      attach: (disk) => daemon.call('disk_attach', disk),
      load: (disks) => daemon.call('load_config', { disks: [...disks] }),
      save: async () => (await daemon.call('save_config', {})).disks,
    });
  } finally {
    daemon.close();
  }
}
