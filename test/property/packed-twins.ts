/**
 * The twins (virtqueue-twins.ts) on a packed ring, with what only a driver of that layout can do wrong.
 */
import { plainRam } from '../support/mock-driver-memory.ts';
import {
  PackedMockDriver,
  packedRingPlace,
  type RawPackedDescriptor,
} from '../support/mock-driver-packed.ts';
import { packedSetup, RING_AT } from '../support/mock-driver-setup.ts';
import { NaivePackedVring } from '../support/naive-packed-vring.ts';
import { type PlantedError, TWIN_REGIONS, Twins, type TwinsOptions } from './virtqueue-twins.ts';

export class PackedTwins extends Twins<PackedMockDriver> {
  constructor(options: TwinsOptions, planted: PlantedError = {}) {
    const { size, eventIdx, base } = options;
    const place = packedRingPlace(RING_AT, size);
    const ram = plainRam([RING_AT, place.end - RING_AT], ...TWIN_REGIONS);
    const driver = new PackedMockDriver(ram, { size, place, eventIdx, base });
    const naive = new NaivePackedVring(ram, size, place, { ...options, ...planted });
    super(packedSetup({ ...options, regions: TWIN_REGIONS }), driver, naive);
  }

  driverEvent(offWrap: number, flags: number): void {
    for (const driver of this.drivers) driver.rawDriverEvent(offWrap, flags);
  }

  rawDescriptor(index: number, descriptor: RawPackedDescriptor): void {
    if (index >= this.size) return;
    for (const driver of this.drivers) driver.rawDescriptor(index, descriptor);
  }

  rawChain(descriptors: readonly RawPackedDescriptor[]): void {
    for (const driver of this.drivers) driver.rawChain(descriptors);
  }
}
