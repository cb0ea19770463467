/**
 * One driver's behaviour played twice, in two copies of guest memory: SplitVring serves one, the naive
 * model the other. Each step applies an operation to both and compares what they answer; in the end
 * every byte of both memories must be equal.
 */
import { expect } from 'vitest';
import type { DriverBuffer } from '../support/mock-driver.ts';
import { MockDriver } from '../support/mock-driver.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import { type RawDescriptor, ringPlace } from '../support/mock-driver-ring.ts';
import {
  DATA_AT,
  RING_AT,
  type RingSetup,
  ringSetup,
  segmentsOf,
} from '../support/mock-driver-setup.ts';
import type { NaiveRun } from '../support/naive-chain.ts';
import { NaiveVring } from '../support/naive-vring.ts';

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

export class RingTwins {
  readonly #real: RingSetup;
  readonly #naive: NaiveVring;
  readonly #drivers: readonly MockDriver[];
  readonly #inFlight: number[] = [];

  constructor(options: TwinsOptions, planted: PlantedError = {}) {
    const { size, eventIdx, base } = options;
    this.#real = ringSetup({ ...options, regions: TWIN_REGIONS });
    const place = ringPlace(RING_AT, size);
    const ram = plainRam([RING_AT, place.end - RING_AT], ...TWIN_REGIONS);
    this.#drivers = [this.#real.driver, new MockDriver(ram, { size, place, eventIdx, base })];
    const model = { ...options, ...planted };
    this.#naive = new NaiveVring(ram, size, place, model.eventIdx, model.indirect);
  }

  chain(buffers: readonly DriverBuffer[], indirect: boolean): void {
    if (this.#real.driver.freeCount < buffers.length) return;
    const options = indirect ? { indirectAt: TABLE_AT } : {};
    for (const driver of this.#drivers) driver.addChain(buffers, options);
  }

  publishAvail(): void {
    const [real, naive] = this.#drivers.map((driver) => driver.publish());
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
    for (const driver of this.#drivers) {
      // A head that was offered by hand is no chain that the driver knows how to free.
      while (driver.nextUsed()) if (driver.isInUse(driver.usedHead)) driver.free(driver.usedHead);
    }
  }

  wantCalls(wanted: boolean): void {
    for (const driver of this.#drivers) {
      if (wanted) driver.armCalls();
      else driver.suppressCalls();
    }
  }

  usedEvent(value: number): void {
    for (const driver of this.#drivers) driver.rawUsedEvent(value);
  }

  rawDescriptor(index: number, descriptor: RawDescriptor): void {
    if (index >= this.#real.driver.size) return;
    for (const driver of this.#drivers) driver.rawDescriptor(index, descriptor);
  }

  rawOffer(head: number): void {
    for (const driver of this.#drivers) driver.offer(head);
  }

  rawAvailIdx(value: number): void {
    for (const driver of this.#drivers) driver.rawAvailIdx(value);
  }

  expectSameState(): void {
    const { vring } = this.#real;
    const naive = this.#naive;
    const { inFlightCount, broken, base } = vring;
    expect([inFlightCount, broken < 0, BigInt(base), vring.availableCount() !== 0]).toEqual([
      naive.inFlight.size,
      naive.broken,
      naive.next,
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
