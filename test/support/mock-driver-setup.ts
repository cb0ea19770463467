/**
 * A driver and a device on one split ring in plain buffers: what most tests of the pure rooms start
 * from. The ring lies in a region of its own, so that a test may lay out, remove or straddle the data
 * regions as it likes.
 */
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import type { Vring } from '../../src/virtqueue/vring.ts';
import { activateSplit } from '../../src/virtqueue/vring-config.ts';
import { MockDriver } from './mock-driver.ts';
import { type GuestRam, plainRam } from './mock-driver-memory.ts';
import { ringPlace } from './mock-driver-ring.ts';

export const RING_AT = 0x10_0000;
export const DATA_AT = 0x100_0000;
export const DATA_BYTES = 0x4_0000;

export interface RingSetupOptions {
  readonly size?: number;
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
  readonly base?: number;
  /** [guest address, size] of each data region. */
  readonly regions?: ReadonlyArray<readonly [number, number]>;
}

export interface RingSetup {
  readonly ram: GuestRam;
  readonly memory: GuestMemory;
  readonly driver: MockDriver;
  readonly vring: Vring;
  readonly chain: DescriptorChain;
  /** The device on the same ring, started anew (another base, other features). */
  readonly restart: (options?: { base?: number; eventIdx?: boolean; indirect?: boolean }) => Vring;
}

export function ringSetup({
  size = 8,
  eventIdx = false,
  indirect = true,
  base = 0,
  regions = [[DATA_AT, DATA_BYTES]],
}: RingSetupOptions = {}): RingSetup {
  const place = ringPlace(RING_AT, size);
  const ram = plainRam([RING_AT, place.end - RING_AT], ...regions);
  const driver = new MockDriver(ram, { size, place, eventIdx, base });
  const memory = ram.deviceMemory();
  const restart: RingSetup['restart'] = (options = {}) => {
    const geometry = { size, addresses: driver.userPlace };
    const vring = activateSplit(memory, geometry, { eventIdx, indirect, base, ...options });
    if (typeof vring === 'string') throw new Error(vring);
    return vring;
  };
  const vring = restart();
  return { ram, memory, driver, vring, chain: new DescriptorChain(size), restart };
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
