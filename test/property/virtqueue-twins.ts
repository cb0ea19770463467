/**
 * One driver's behaviour played twice, in two copies of guest memory: the real ring serves one, a naive
 * model the other. Each step applies an operation to both and compares what they answer; in the end
 * every byte of both memories must be equal. Here is what both layouts have in common, and the split one.
 */
import { expect } from 'vitest';
import { type DriverBuffer, MockDriver, type RingDriver } from '../support/mock-driver.ts';
import { type GuestRam, plainRam } from '../support/mock-driver-memory.ts';
import { type RawDescriptor, ringPlace } from '../support/mock-driver-ring.ts';
import {
  DATA_AT,
  RING_AT,
  type RingSetup,
  ringSetup,
  segmentsOf,
} from '../support/mock-driver-setup.ts';
import type { NaiveRun } from '../support/naive-chain.ts';
import { type NaivePop, NaiveVring } from '../support/naive-vring.ts';

/** Two regions that touch, then a hole, then a third. */
export const TWIN_REGIONS = [
  [DATA_AT, 256],
  [DATA_AT + 256, 256],
  [DATA_AT + 600, 100],
] as const;
const TABLE_AT = DATA_AT + 192;

export interface TwinsOptions {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  readonly base: number;
}

/** What a canary changes in the model, so that the twins have to differ. */
export interface PlantedError {
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
}

/** A model of a ring's device side. */
export interface NaiveRing {
  readonly ram: GuestRam;
  readonly broken: boolean;
  readonly inFlightCount: number;
  readonly base: bigint;
  readonly hasAvailable: boolean;
  pop(): NaivePop;
  push(head: bigint, written: bigint): void;
  publish(): boolean;
  suppressKicks(): void;
  armKicks(): boolean;
}

export class Twins<Driver extends RingDriver> {
  readonly #real: RingSetup<Driver>;
  readonly #naive: NaiveRing;
  readonly drivers: readonly Driver[];
  readonly #inFlight: number[] = [];

  constructor(real: RingSetup<Driver>, driver: Driver, naive: NaiveRing) {
    this.#real = real;
    this.#naive = naive;
    this.drivers = [real.driver, driver];
  }

  get size(): number {
    return this.#real.driver.size;
  }

  chain(buffers: readonly DriverBuffer[], indirect: boolean): void {
    if (this.#real.driver.freeCount < buffers.length) return;
    const options = indirect ? { indirectAt: TABLE_AT } : {};
    for (const driver of this.drivers) driver.addChain(buffers, options);
  }

  publishAvail(): void {
    const [real, naive] = this.drivers.map((driver) => driver.publish());
    expect(real).toBe(naive);
  }

  pop(): void {
    const { vring, chain } = this.#real;
    const said = this.#naive.pop();
    const got = vring.pop(chain);
    if (said.kind === 'none') expect(got).toBe(0);
    else if (said.kind === 'violation') expect(got).toBeLessThan(0);
    else {
      expect([got, BigInt(chain.head)]).toEqual([1, said.head]);
      expect(joined(this.#guestRuns())).toEqual(joined(said.runs));
      this.#inFlight.push(chain.head);
    }
  }

  push(which: number, writtenBytes: number): void {
    const [head] = this.#inFlight.splice(which % Math.max(1, this.#inFlight.length), 1);
    if (head === undefined) return;
    this.#real.vring.push(head, writtenBytes);
    this.#naive.push(BigInt(head), BigInt(writtenBytes));
  }

  publishUsed(): void {
    expect(this.#real.vring.publish()).toBe(this.#naive.publish());
  }

  armKicks(): void {
    expect(this.#real.vring.armKicks()).toBe(this.#naive.armKicks());
  }

  suppressKicks(): void {
    this.#real.vring.suppressKicks();
    this.#naive.suppressKicks();
  }

  collect(): void {
    const [real, naive] = this.drivers.map((driver) => {
      const used: number[] = [];
      // A head that was offered by hand is no chain that the driver knows how to free.
      while (used.length < this.size && driver.nextUsed()) {
        used.push(driver.usedHead, driver.usedLengthBytes);
        if (driver.isInUse(driver.usedHead)) driver.free(driver.usedHead);
      }
      return used;
    });
    expect(real).toEqual(naive);
  }

  wantCalls(wanted: boolean): void {
    for (const driver of this.drivers) {
      if (wanted) driver.armCalls();
      else driver.suppressCalls();
    }
  }

  expectSameState(): void {
    const { vring } = this.#real;
    const naive = this.#naive;
    const { inFlightCount, broken, base } = vring;
    expect([inFlightCount, broken < 0, BigInt(base), vring.availableCount() !== 0]).toEqual([
      naive.inFlightCount,
      naive.broken,
      naive.base,
      naive.hasAvailable && !naive.broken,
    ]);
  }

  expectSameMemory(): void {
    for (const [index, { bytes }] of this.#real.ram.regions.entries()) {
      expect(bytes).toEqual(this.#naive.ram.regions[index]!.bytes);
    }
  }

  #guestRuns(): NaiveRun[] {
    const { chain, ram } = this.#real;
    return segmentsOf(chain).map(({ hostAddress, lengthBytes, slot, writable }) => {
      const region = ram.regions[slot]!;
      const address = hostAddress - region.hostAddress + region.guestAddress;
      return [BigInt(address), BigInt(lengthBytes), writable] as const;
    });
  }
}

export class SplitTwins extends Twins<MockDriver> {
  constructor(options: TwinsOptions, planted: PlantedError = {}) {
    const { size, eventIdx, base } = options;
    const place = ringPlace(RING_AT, size);
    const ram = plainRam([RING_AT, place.end - RING_AT], ...TWIN_REGIONS);
    const driver = new MockDriver(ram, { size, place, eventIdx, base });
    const model = { ...options, ...planted };
    const naive = new NaiveVring(ram, size, place, model.eventIdx, model.indirect);
    super(ringSetup({ ...options, regions: TWIN_REGIONS }), driver, naive);
  }

  usedEvent(value: number): void {
    for (const driver of this.drivers) driver.rawUsedEvent(value);
  }

  rawDescriptor(index: number, descriptor: RawDescriptor): void {
    if (index >= this.size) return;
    for (const driver of this.drivers) driver.rawDescriptor(index, descriptor);
  }

  rawOffer(head: number): void {
    for (const driver of this.drivers) driver.offer(head);
  }

  rawAvailIdx(value: number): void {
    for (const driver of this.drivers) driver.rawAvailIdx(value);
  }
}

/** Runs with neighbours of the same kind joined: how a chain is cut into pieces does not matter. */
export function joined(runs: readonly NaiveRun[]): NaiveRun[] {
  const result: NaiveRun[] = [];
  for (const [address, length, writable] of runs) {
    const last = result.at(-1);
    if (last !== undefined && last[0] + last[1] === address && last[2] === writable) {
      result[result.length - 1] = [last[0], last[1] + length, writable];
    } else result.push([address, length, writable]);
  }
  return result;
}
