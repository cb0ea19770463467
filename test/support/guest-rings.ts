/**
 * The rings of a virtual machine's vhost-user disks, read out of guest memory through QEMU's monitor: what
 * the driver has asked, what vloop has answered, and whether the driver waits for either. Only looks:
 * x-query-virtio-queue-status would stop the rings (QEMU sends GET_VRING_BASE for it).
 * Source: virtio 1.3 §2.7 for the rings, qapi/virtio.json (QEMU 7.2) for the queries.
 */
import type { QmpClient } from './guest-qmp.ts';

interface VirtioDevice {
  readonly path: string;
  readonly name: string;
}

interface VirtioStatus {
  readonly 'num-vqs': number;
  readonly 'vhost-started': boolean;
  readonly status: { readonly statuses: readonly string[] };
  readonly 'guest-features': { readonly transports: readonly string[] };
}

interface VhostQueueStatus {
  readonly num: number;
  readonly 'avail-phys': number;
  readonly 'used-phys': number;
}

interface Chardev {
  readonly label: string;
  readonly filename: string;
}

export interface RingState {
  readonly availIdx: number;
  readonly usedIdx: number;
  /** Where the driver wants to be called; null when it does not use EVENT_IDX. */
  readonly usedEvent: number | null;
  /** Where vloop wants to be kicked. */
  readonly availEvent: number;
}

export interface DiskStates {
  readonly lines: readonly string[];
  /** Some driver waits for its disk, or the disk is cut off. */
  readonly owing: boolean;
}

/** Looks at every vhost-user disk. Rejects where QEMU cannot tell. */
export async function lookAtDisks(qmp: QmpClient): Promise<DiskStates> {
  const chardevs = (await qmp.execute('query-chardev')) as Chardev[];
  const cut = chardevs.filter(({ filename }) => /^disconnected:(?!.*server=on)/.test(filename));
  const lines = cut.map(({ label }) => `disk ${label}: its connection has ended`);
  const devices = (await qmp.execute('x-query-virtio')) as VirtioDevice[];
  // QEMU calls vhost-user-blk so, too.
  const disks = devices.filter(({ name }) => name === 'virtio-blk');
  let owing = cut.length > 0 || disks.length === 0;
  for (const [disk, { path }] of disks.entries()) {
    const status = (await qmp.execute('x-query-virtio-status', { path })) as VirtioStatus;
    if (!status['vhost-started']) {
      const driven = status.status.statuses.some((name) => name.includes('DRIVER_OK'));
      lines.push(
        `disk ${disk}: ${driven ? 'has a driver, and does not run' : 'has no driver yet'}`,
      );
      if (driven) owing = true;
      continue;
    }
    if (status['guest-features'].transports.some((name) => name.includes('RING_PACKED'))) {
      // Indices are in nobody's memory but the two sides' own: what is not known counts against the disk.
      lines.push(`disk ${disk}: packed rings, which are not read`);
      owing = true;
      continue;
    }
    for (let queue = 0; queue < status['num-vqs']; queue++) {
      const ring = await readRing(qmp, path, queue, status);
      if (ring === null) continue;
      lines.push(`disk ${disk} queue ${queue}: ${describeRing(ring)}`);
      if (owed(ring) !== null) owing = true;
    }
  }
  return { lines, owing };
}

/** null: the driver has not set this queue up. */
async function readRing(
  qmp: QmpClient,
  path: string,
  queue: number,
  status: VirtioStatus,
): Promise<RingState | null> {
  const query = 'x-query-virtio-vhost-queue-status';
  const ring = (await qmp.execute(query, { path, queue })) as VhostQueueStatus;
  const [avail, used] = [ring['avail-phys'], ring['used-phys']];
  if (used === 0) return null;
  const eventIdx = status['guest-features'].transports.some((name) => name.includes('EVENT_IDX'));
  return {
    availIdx: await readWord(qmp, avail + 2),
    usedIdx: await readWord(qmp, used + 2),
    usedEvent: eventIdx ? await readWord(qmp, avail + 4 + 2 * ring.num) : null,
    availEvent: await readWord(qmp, used + 4 + 8 * ring.num),
  };
}

async function readWord(qmp: QmpClient, address: number): Promise<number> {
  const shown = await qmp.monitor(`xp /1hx 0x${address.toString(16)}`);
  const word = /: 0x([0-9a-f]{4})\s*$/.exec(shown)?.[1];
  if (word === undefined) throw new Error(`xp says: ${shown}`);
  return Number.parseInt(word, 16);
}

/** What the driver waits for, or null: it has every answer, and has seen it. */
export function owed({ availIdx, usedIdx, usedEvent }: RingState): string | null {
  if (availIdx !== usedIdx) return `${(availIdx - usedIdx) & 0xffff} requests are not answered`;
  // A driver that has looked at every answer asks to be called at the next.
  if (usedEvent !== null && usedEvent !== usedIdx) {
    return `${(usedIdx - usedEvent) & 0xffff} answers were not seen by the driver`;
  }
  return null;
}

function describeRing(ring: RingState): string {
  const { availIdx, usedIdx, usedEvent, availEvent } = ring;
  return (
    `avail.idx=${availIdx} used.idx=${usedIdx} ` +
    `used_event=${usedEvent ?? '-'} avail_event=${availEvent}: ${owed(ring) ?? 'nothing is owed'}`
  );
}
