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

/** What a driver waits for, or that a disk is cut off. */
export interface Debt {
  readonly sentence: string;
  /** Which ring, and where it stood: a disk that goes on answering is busy, and owes nothing. */
  readonly place: string;
}

export interface DiskStates {
  readonly lines: readonly string[];
  readonly debts: readonly Debt[];
}

/** Looks at every vhost-user disk. Rejects where QEMU cannot tell. */
export async function lookAtDisks(qmp: QmpClient): Promise<DiskStates> {
  const chardevs = (await qmp.execute('query-chardev')) as Chardev[];
  const cut = chardevs.filter(({ filename }) => /^disconnected:(?!.*server=on)/.test(filename));
  const lines = cut.map(({ label }) => `disk ${label}: its connection has ended`);
  const debts: Debt[] = lines.map((sentence) => ({ sentence, place: sentence }));
  const owes = (sentence: string, place = sentence) => debts.push({ sentence, place });
  const devices = (await qmp.execute('x-query-virtio')) as VirtioDevice[];
  let found = false;
  for (const { path } of devices) {
    // By its name in x-query-virtio, QEMU's own disk is the same.
    const type = await qmp.execute('qom-get', { path, property: 'type' });
    if (type !== 'vhost-user-blk') continue;
    found = true;
    const disk = String(await qmp.execute('qom-get', { path, property: 'chardev' }));
    const status = (await qmp.execute('x-query-virtio-status', { path })) as VirtioStatus;
    if (!status['vhost-started']) {
      const driven = status.status.statuses.some((name) => name.includes('DRIVER_OK'));
      const state = driven ? 'has a driver, and does not run' : 'has no driver yet';
      lines.push(`disk ${disk}: ${state}`);
      if (driven) owes(`disk ${disk}: ${state}`);
      continue;
    }
    if (status['guest-features'].transports.some((name) => name.includes('RING_PACKED'))) {
      // Indices are in nobody's memory but the two sides' own: what is not known counts against the disk.
      lines.push(`disk ${disk}: packed rings, which are not read`);
      owes(`disk ${disk}: packed rings, which are not read`);
      continue;
    }
    for (let queue = 0; queue < status['num-vqs']; queue++) {
      const ring = await readRing(qmp, path, queue, status);
      if (ring === null) continue;
      lines.push(`disk ${disk} queue ${queue}: ${describeRing(ring)}`);
      const debt = owed(ring);
      if (debt === null) continue;
      owes(`disk ${disk}: ${debt}`, `${disk} ${queue} ${ring.usedIdx} ${ring.usedEvent}`);
    }
  }
  if (!found) owes('there is no vhost-user disk');
  return { lines, debts };
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

/** What is owed at both looks, which are some time apart. */
export function lastingDebts(before: readonly Debt[], now: readonly Debt[]): string[] {
  const lasting = now.filter(({ place }) => before.some((earlier) => earlier.place === place));
  return lasting.map(({ sentence }) => sentence);
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
