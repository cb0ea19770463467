/**
 * A vring being set up: size, addresses, base. `activate` turns it into a running ring or says why not;
 * an unconfigured ring cannot be popped because the object does not exist.
 * Source: vhost-user.rst (SET_VRING_NUM, ADDR, BASE), virtio 1.3 §2.7 (sizes and alignment).
 */
import {
  VIRTQUEUE_SIZE_MAX,
  VRING_AVAIL_ALIGN_SIZE,
  VRING_DESC_ALIGN_SIZE,
  VRING_USED_ALIGN_SIZE,
  vringAvailBytes,
  vringDescTableBytes,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { SplitVring, type SplitVringOptions } from './split-vring.ts';
import type { Vring } from './vring.ts';

/** Where the three parts of a ring are, in front-end (user) addresses. */
export interface VringAddresses {
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

export interface VringGeometry {
  readonly size: number;
  readonly addresses: VringAddresses;
}

/** Why a split ring cannot have `num` entries, or null. */
export function invalidVringSize(num: number): string | null {
  const valid = num >= 1 && num <= VIRTQUEUE_SIZE_MAX && (num & (num - 1)) === 0;
  return valid ? null : `num=${num}, expected a power of two from 1 to ${VIRTQUEUE_SIZE_MAX}`;
}

/** Why a ring's parts cannot lie at these addresses, or null (virtio 1.3 §2.7: 16, 2 and 4). */
export function misalignedVring({ desc, avail, used }: VringAddresses): string | null {
  for (const [name, address, alignment] of [
    ['descriptor table', desc, VRING_DESC_ALIGN_SIZE],
    ['avail ring', avail, VRING_AVAIL_ALIGN_SIZE],
    ['used ring', used, VRING_USED_ALIGN_SIZE],
  ] as const) {
    if (address % alignment !== 0) {
      return `${name} address=0x${address.toString(16)}, expected a multiple of ${alignment}`;
    }
  }
  return null;
}

/** A running ring, or a sentence that says why it cannot run. */
export function activateSplit(
  memory: GuestMemory,
  { size, addresses }: VringGeometry,
  options: SplitVringOptions,
): Vring | string {
  const invalid = invalidVringSize(size) ?? misalignedVring(addresses);
  if (invalid !== null) return invalid;
  const locate = (name: string, address: number, sizeBytes: number) => {
    const place = memory.findUser(address, sizeBytes);
    if (place === null) {
      return `${name} address=0x${address.toString(16)} size=${sizeBytes} is not inside one memory region`;
    }
    const bytes = memory.bytesOfSlot[place.slot]!;
    return { buffer: bytes.buffer, at: bytes.byteOffset + place.offsetBytes };
  };
  const desc = locate('descriptor table', addresses.desc, vringDescTableBytes(size));
  if (typeof desc === 'string') return desc;
  const avail = locate('avail ring', addresses.avail, vringAvailBytes(size));
  if (typeof avail === 'string') return avail;
  const used = locate('used ring', addresses.used, vringUsedBytes(size));
  if (typeof used === 'string') return used;
  // User and host addresses differ by whole pages in practice, but only the front-end says so.
  if (avail.at % VRING_AVAIL_ALIGN_SIZE !== 0 || used.at % VRING_USED_ALIGN_SIZE !== 0) {
    return 'the mapping of the ring is not aligned as its address is';
  }
  const parts = {
    size,
    desc: new DataView(desc.buffer, desc.at, vringDescTableBytes(size)),
    avail: new Uint16Array(avail.buffer, avail.at, vringAvailBytes(size) / 2),
    used: new Uint16Array(used.buffer, used.at, vringUsedBytes(size) / 2),
    used32: new Uint32Array(used.buffer, used.at, 1 + 2 * size),
  };
  return new SplitVring(memory, parts, options);
}
