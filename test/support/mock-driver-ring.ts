/**
 * The bytes of a split ring as a driver lays them out: where its three parts lie, and one descriptor
 * field by field, right or wrong. Shared by the mock driver and by tests that write rings by hand.
 */
import {
  vringAvailBytes,
  vringDesc,
  vringDescTableBytes,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';

/** Where the three parts of a ring are, in guest addresses. */
export interface RingPlace {
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** A descriptor field by field: any value, however wrong. */
export interface RawDescriptor {
  readonly address?: number | bigint;
  readonly lengthBytes?: number;
  readonly flags?: number;
  readonly next?: number;
}

/** The customary layout: descriptor table, avail ring, used ring, one after the other. */
export function ringPlace(start: number, size: number): RingPlace & { readonly end: number } {
  const avail = start + vringDescTableBytes(size);
  const used = Math.ceil((avail + vringAvailBytes(size)) / 4) * 4;
  return { desc: start, avail, used, end: used + vringUsedBytes(size) };
}

/** The 16 bytes of a descriptor, for ring descriptors and indirect tables alike. */
export function encodeDescriptor(descriptor: RawDescriptor): Uint8Array {
  const { address = 0, lengthBytes = 0, flags = 0, next = 0 } = descriptor;
  const view = new DataView(new ArrayBuffer(vringDesc.sizeBytes));
  view.setBigUint64(vringDesc.at.addr, BigInt(address), true);
  view.setUint32(vringDesc.at.len, lengthBytes, true);
  view.setUint16(vringDesc.at.flags, flags, true);
  view.setUint16(vringDesc.at.next, next, true);
  return new Uint8Array(view.buffer);
}
