/**
 * A vring being set up: size, addresses, base. `activateVring` turns it into a running ring of either
 * layout or says why not; an unconfigured ring cannot be popped because the object does not exist.
 * Source: vhost-user.rst (SET_VRING_NUM, ADDR, BASE), virtio 1.3 §2.7, §2.8.10.1 (sizes and alignment).
 */
import {
  PACKED_EVENT_ALIGN_SIZE,
  VIRTQUEUE_SIZE_MAX,
  VRING_AVAIL_ALIGN_SIZE,
  VRING_DESC_ALIGN_SIZE,
  VRING_USED_ALIGN_SIZE,
  vringAvailBytes,
  vringDescTableBytes,
  vringPackedDescEvent,
  vringPackedRingBytes,
  vringUsed,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
import { loadAcquire16 } from './barrier.ts';
import { InOrderVring } from './in-order-vring.ts';
import type { QueueInflight } from './inflight-region.ts';
import { availOfBase, invalidPackedBase, usedOfBase } from './packed-position.ts';
import { openPackedInflight } from './packed-recovery.ts';
import { PackedVring } from './packed-vring.ts';
import { SplitInflight } from './split-inflight.ts';
import { SplitVring } from './split-vring.ts';
import type { Vring } from './vring.ts';

/**
 * Where the three parts of a ring are, in front-end (user) addresses. A packed ring's are its descriptor
 * ring, the driver area and the device area.
 */
export interface VringAddresses {
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

export interface VringGeometry {
  readonly size: number;
  readonly addresses: VringAddresses;
}

/** What the driver and the front-end have agreed on about a ring. */
export interface VringOptions {
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** SET_VRING_BASE: the next avail index; of a packed ring both indices with their wrap counters. */
  readonly base: number;
  /** The ring's part of the in-flight region, if there is one. */
  readonly inflight?: QueueInflight | null;
}

type NamedPart = readonly [name: string, address: number, alignment: number];

function partsOf({ desc, avail, used }: VringAddresses, packed: boolean): readonly NamedPart[] {
  if (packed) {
    return [
      ['descriptor ring', desc, VRING_DESC_ALIGN_SIZE],
      ['driver area', avail, PACKED_EVENT_ALIGN_SIZE],
      ['device area', used, PACKED_EVENT_ALIGN_SIZE],
    ];
  }
  return [
    ['descriptor table', desc, VRING_DESC_ALIGN_SIZE],
    ['avail ring', avail, VRING_AVAIL_ALIGN_SIZE],
    ['used ring', used, VRING_USED_ALIGN_SIZE],
  ];
}

/** Why a ring cannot have `num` entries, or null: a packed ring may have any number up to the limit. */
export function invalidVringSize(num: number, packed = false): string | null {
  const valid = num >= 1 && num <= VIRTQUEUE_SIZE_MAX && (packed || (num & (num - 1)) === 0);
  if (valid) return null;
  const expected = packed ? '1' : 'a power of two from 1';
  return `num=${num}, expected ${expected} to ${VIRTQUEUE_SIZE_MAX}`;
}

/** Why a ring's parts cannot lie at these addresses, or null (16, 2 and 4; packed: 16, 4 and 4). */
export function misalignedVring(addresses: VringAddresses, packed = false): string | null {
  for (const [name, address, alignment] of partsOf(addresses, packed)) {
    if (address % alignment !== 0) {
      return `${name} address=0x${address.toString(16)}, expected a multiple of ${alignment}`;
    }
  }
  return null;
}

/**
 * The guest addresses that a device writes in a ring, which a dirty log has to know. The front-end says
 * where the used ring is (a packed ring's device area); that a packed ring's descriptors are written as
 * well it does not, so they are where their memory is.
 */
export function writtenParts(
  memory: AddressTable,
  { size, addresses }: VringGeometry,
  packed: boolean,
  usedGuestAddress: number,
): Array<{ readonly guestAddress: number; readonly sizeBytes: number }> {
  if (!packed) return [{ guestAddress: usedGuestAddress, sizeBytes: vringUsedBytes(size) }];
  const parts = [{ guestAddress: usedGuestAddress, sizeBytes: vringPackedDescEvent.sizeBytes }];
  const ringBytes = vringPackedRingBytes(size);
  const ring = memory.findUser(addresses.desc, ringBytes);
  if (ring !== null) {
    const guestAddress = memory.guestAddressOf(ring.slot, ring.offsetBytes);
    parts.push({ guestAddress, sizeBytes: ringBytes });
  }
  return parts;
}

/** The same of a ring whose addresses go through an IOTLB: what is written is where its memory is. */
export function translatedWrittenParts(
  table: AddressTable,
  geometry: VringGeometry,
  packed: boolean,
): Array<{ readonly guestAddress: number; readonly sizeBytes: number }> {
  return vringParts(geometry, packed)
    .filter(({ deviceWrites }) => deviceWrites)
    .flatMap(({ address, sizeBytes }) => {
      const place = table.findUser(address, sizeBytes);
      if (place === null) return [];
      return [{ guestAddress: table.guestAddressOf(place.slot, place.offsetBytes), sizeBytes }];
    });
}

/** A part of a ring: where it lies, and whether the device writes it. */
export interface VringPart {
  readonly address: number;
  readonly sizeBytes: number;
  readonly deviceWrites: boolean;
}

export function vringParts({ size, addresses }: VringGeometry, packed: boolean): VringPart[] {
  const { desc, avail, used } = addresses;
  if (packed) {
    const eventBytes = vringPackedDescEvent.sizeBytes;
    return [
      { address: desc, sizeBytes: vringPackedRingBytes(size), deviceWrites: true },
      { address: avail, sizeBytes: eventBytes, deviceWrites: false },
      { address: used, sizeBytes: eventBytes, deviceWrites: true },
    ];
  }
  return [
    { address: desc, sizeBytes: vringDescTableBytes(size), deviceWrites: false },
    { address: avail, sizeBytes: vringAvailBytes(size), deviceWrites: false },
    { address: used, sizeBytes: vringUsedBytes(size), deviceWrites: true },
  ];
}

/** A running ring, or a sentence that says why it cannot run. */
export function activateVring(
  memory: AddressTable,
  geometry: VringGeometry,
  options: VringOptions,
): Vring | string {
  const { packed, inOrder } = options;
  const { size, addresses } = geometry;
  const invalid = invalidVringSize(size, packed) ?? misalignedVring(addresses, packed);
  if (invalid !== null) return invalid;
  const activate = packed ? activatePacked : activateSplit;
  const vring = activate(memory, geometry, options);
  return typeof vring === 'string' || !inOrder ? vring : new InOrderVring(vring);
}

/** Three byte ranges in the memory that a driver shares, or a sentence. */
function locateParts(
  memory: AddressTable,
  parts: readonly NamedPart[],
  sizes: readonly [number, number, number],
): Array<{ readonly buffer: ArrayBufferLike; readonly at: number }> | string {
  const places = [];
  for (const [i, [name, address, alignment]] of parts.entries()) {
    const place = memory.findUser(address, sizes[i]!);
    if (place === null) {
      return `${name} address=0x${address.toString(16)} size=${sizes[i]} is not inside one memory region`;
    }
    const bytes = memory.bytesOfSlot[place.slot]!;
    const at = bytes.byteOffset + place.offsetBytes;
    // User and host addresses differ by whole pages in practice, but only the front-end says so.
    if (at % alignment !== 0) return 'the mapping of the ring is not aligned as its address is';
    places.push({ buffer: bytes.buffer, at });
  }
  return places;
}

function activateSplit(
  memory: AddressTable,
  { size, addresses }: VringGeometry,
  options: VringOptions,
): Vring | string {
  const bytes = [vringDescTableBytes(size), vringAvailBytes(size), vringUsedBytes(size)] as const;
  const places = locateParts(memory, partsOf(addresses, false), bytes);
  if (typeof places === 'string') return places;
  const [desc, avail, used] = [places[0]!, places[1]!, places[2]!];
  const parts = {
    size,
    desc: new DataView(desc.buffer, desc.at, vringDescTableBytes(size)),
    avail: new Uint16Array(avail.buffer, avail.at, vringAvailBytes(size) / 2),
    used: new Uint16Array(used.buffer, used.at, vringUsedBytes(size) / 2),
    used32: new Uint32Array(used.buffer, used.at, 1 + 2 * size),
  };
  const queue = options.inflight ?? null;
  const usedIdx = loadAcquire16(parts.used, vringUsed.at.idx / 2);
  const inflight = queue === null ? null : SplitInflight.open(queue, size, usedIdx);
  if (typeof inflight === 'string') return inflight;
  return new SplitVring(memory, parts, { ...options, inflight });
}

function activatePacked(
  memory: AddressTable,
  { size, addresses }: VringGeometry,
  { eventIdx, indirect, base, inflight: queue = null }: VringOptions,
): Vring | string {
  const eventBytes = vringPackedDescEvent.sizeBytes;
  const bytes = [vringPackedRingBytes(size), eventBytes, eventBytes] as const;
  const places = locateParts(memory, partsOf(addresses, true), bytes);
  if (typeof places === 'string') return places;
  const [ring, driver, device] = [places[0]!, places[1]!, places[2]!];
  const parts = {
    size,
    ring32: new Int32Array(ring.buffer, ring.at, vringPackedRingBytes(size) / 4),
    ring16: new Uint16Array(ring.buffer, ring.at, vringPackedRingBytes(size) / 2),
    driverEvent: new Int32Array(driver.buffer, driver.at, 1),
    deviceEvent: new Int32Array(device.buffer, device.at, 1),
  };
  const inflight = queue
    ? openPackedInflight(queue, size, parts.ring16, base)
    : invalidPackedBase(base, size);
  if (typeof inflight === 'string') return inflight;
  const avail = availOfBase(base);
  const used = usedOfBase(base);
  return new PackedVring(memory, parts, { eventIdx, indirect, avail, used, inflight });
}
