/**
 * The three sides of the guest benchmark on one image, all buffered and with one queue: vloop,
 * qemu-storage-daemon, and the virtio-blk that QEMU itself has. Each is a disk of the same guest.
 */
import { type BackEndProcess, startBackEnd } from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';

export interface GuestSide {
  readonly label: string;
  /** The disk's serial, by which the guest tells it from the others. */
  readonly serial: string;
  readonly qemuArguments: readonly string[];
  /** CPU of the back-end so far; null where it cannot be told from QEMU's other work. */
  readonly cpuSeconds: () => number | null;
}

const VLOOP_SERIAL = 'SIDE-VLOOP';
/** QEMU's daemon takes no serial from the command line; its id is what it says. */
const DAEMON_SERIAL = 'vhost_user_blk';
const BUILT_IN_SERIAL = 'SIDE-QEMU';

export interface GuestSides {
  readonly sides: readonly GuestSide[];
  readonly stop: () => Promise<void>;
}

export async function startSides(
  workspace: Workspace,
  image: string,
  vloopArguments: readonly string[],
): Promise<GuestSides> {
  const vloop = await startBackEnd('vloop', workspace, image, {
    vloopArguments: ['--direct-io=off', `--serial=${VLOOP_SERIAL}`, ...vloopArguments],
    numQueues: 1,
  });
  const daemon = await startBackEnd('qemu-storage-daemon', workspace, image, { numQueues: 1 });
  return {
    sides: [
      overVhostUser(vloop, VLOOP_SERIAL),
      overVhostUser(daemon, DAEMON_SERIAL),
      builtIn(workspace.onHost(image)),
    ],
    stop: async () => {
      await Promise.all([vloop.stop(), daemon.stop()]);
    },
  };
}

function overVhostUser(backEnd: BackEndProcess, serial: string): GuestSide {
  const { label, socketOnHost } = backEnd;
  return {
    label,
    serial,
    qemuArguments: [
      ...['-chardev', `socket,id=${label},path=${socketOnHost}`],
      ...['-device', `vhost-user-blk-pci,chardev=${label},num-queues=1`],
    ],
    cpuSeconds: () => backEnd.cpuSeconds(),
  };
}

/** With a thread of its own, as one would run it for speed. */
function builtIn(image: string): GuestSide {
  return {
    label: 'QEMU virtio-blk',
    serial: BUILT_IN_SERIAL,
    qemuArguments: [
      ...['-object', 'iothread,id=built-in'],
      '-blockdev',
      `driver=file,node-name=built-in,filename=${image},aio=io_uring,cache.direct=off,locking=off`,
      '-device',
      `virtio-blk-pci,drive=built-in,iothread=built-in,num-queues=1,serial=${BUILT_IN_SERIAL}`,
    ],
    cpuSeconds: () => null,
  };
}
