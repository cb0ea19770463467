/**
 * A driver and a device on one ring of either layout in plain buffers: what most tests of the pure rooms
 * start from. The ring lies in a region of its own, so that a test may lay out, remove or straddle the
 * data regions as it likes.
 */
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import type { Vring } from '../../src/virtqueue/vring.ts';
import { activateVring, type VringOptions } from '../../src/virtqueue/vring-config.ts';
import { MockDriver, type RingDriver } from './mock-driver.ts';
import { type GuestRam, plainRam } from './mock-driver-memory.ts';
import { PACKED_BASE, PackedMockDriver, packedRingPlace } from './mock-driver-packed.ts';
import { type RingPlace, ringPlace } from './mock-driver-ring.ts';

export const RING_AT = 0x10_0000;
export const DATA_AT = 0x100_0000;
export const DATA_BYTES = 0x4_0000;

export interface RingSetupOptions extends Partial<Omit<VringOptions, 'packed'>> {
  readonly size?: number;
  /** [guest address, size] of each data region. */
  readonly regions?: ReadonlyArray<readonly [number, number]>;
}

export interface RingSetup<Driver extends RingDriver = MockDriver> {
  readonly ram: GuestRam;
  readonly memory: GuestMemory;
  readonly driver: Driver;
  readonly vring: Vring;
  readonly chain: DescriptorChain;
  /** The device on the same ring, started anew (another base, other features). */
  readonly restart: (options?: Partial<Omit<VringOptions, 'packed'>>) => Vring;
}

type RamAndPlace = readonly [ram: GuestRam, place: RingPlace];

function setupOf<Driver extends RingDriver>(
  makeDriver: (...place: RamAndPlace) => Driver,
  place: RingPlace & { readonly end: number },
  size: number,
  vringOptions: VringOptions,
  regions: RingSetupOptions['regions'] = [[DATA_AT, DATA_BYTES]],
): RingSetup<Driver> {
  const ram = plainRam([RING_AT, place.end - RING_AT], ...regions);
  const driver = makeDriver(ram, place);
  const memory = ram.deviceMemory();
  const restart: RingSetup['restart'] = (options = {}) => {
    const geometry = { size, addresses: driver.userPlace };
    const vring = activateVring(memory, geometry, { ...vringOptions, ...options });
    if (typeof vring === 'string') throw new Error(vring);
    return vring;
  };
  const vring = restart();
  return { ram, memory, driver, vring, chain: new DescriptorChain(size), restart };
}

/** On a split ring. */
export function ringSetup({
  size = 8,
  eventIdx = false,
  indirect = true,
  inOrder = false,
  base = 0,
  regions,
}: RingSetupOptions = {}): RingSetup {
  const options = { packed: false, inOrder, eventIdx, indirect, base };
  const driver = (...[ram, place]: RamAndPlace) =>
    new MockDriver(ram, { size, place, eventIdx, base });
  return setupOf(driver, ringPlace(RING_AT, size), size, options, regions);
}

/** On a packed ring. */
export function packedSetup({
  size = 8,
  eventIdx = false,
  indirect = true,
  inOrder = false,
  base = PACKED_BASE,
  regions,
}: RingSetupOptions = {}): RingSetup<PackedMockDriver> {
  const options = { packed: true, inOrder, eventIdx, indirect, base };
  const driver = (...[ram, place]: RamAndPlace) =>
    new PackedMockDriver(ram, { size, place, eventIdx, base });
  return setupOf(driver, packedRingPlace(RING_AT, size), size, options, regions);
}

/** The segments that a chain holds, in a form that tests can compare. */
export function segmentsOf(chain: DescriptorChain): Array<{
  hostAddress: number;
  lengthBytes: number;
  slot: number;
  writable: boolean;
}> {
  return Array.from({ length: chain.segmentCount }, (_, index) => ({
    hostAddress: chain.hostAddress[index]!,
    lengthBytes: chain.lengthBytes[index]!,
    slot: chain.slot[index]!,
    writable: index >= chain.readableCount,
  }));
}
