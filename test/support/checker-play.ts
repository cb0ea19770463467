/**
 * Plays operations on a device and holds every answer against the model: status, used length, data. Ends
 * with a reading of all that was touched. The device is behind a port, so that the same plan runs on the loop device
 * in one thread and on a vloop process; and a plan that fails is cut down to the fewest operations that still do.
 */
import { VIRTIO_BLK_S_OK, virtioBlkStatus } from '../../protocol/virtio-blk.ts';
import { DiskModel, type Mismatch } from './checker-model.ts';
import { type CheckedOperation, operationText, requestOf, touches } from './checker-operations.ts';
import type { BlkRequestText } from './mock-driver-blk.ts';

const SECTOR = 512;
const READ_BACK_SECTORS = 64;
const TOUCHED_SHOWN = 6;

export interface CheckedAnswer {
  /** What `offer` gave. */
  readonly handle: unknown;
  readonly status: number;
  readonly usedBytes: number;
  readonly data: Uint8Array;
}

export interface CheckedDevice {
  readonly diskSectors: number;
  hasRoom(queue: number): boolean;
  /** A handle that is no other request's. */
  offer(queue: number, text: BlkRequestText, skewBytes: number): unknown;
  /** At least one answer; throws when there is none to come. */
  answers(): CheckedAnswer[] | Promise<CheckedAnswer[]>;
}

export interface CheckFailure {
  readonly operation: CheckedOperation;
  /** Where, when it is about content. */
  readonly sector: number | null;
  /** One line, then the last operations that touched the sector. */
  readonly text: string;
}

export class CheckedPlay {
  readonly model: DiskModel;
  failure: CheckFailure | null = null;
  answered = 0;
  readonly #device: CheckedDevice;
  readonly #run: number;
  readonly #plain: boolean;
  readonly #inFlight = new Map<unknown, CheckedOperation>();
  readonly #begun: CheckedOperation[] = [];

  /** `plain`: requests of three descriptors, for back-ends that do not take any framing. */
  constructor(device: CheckedDevice, run: number, plain = false) {
    this.#device = device;
    this.#run = run;
    this.#plain = plain;
    this.model = new DiskModel(device.diskSectors, run);
  }

  /** Plays all of it and reads back what it touched; what is wrong, or null. */
  async all(operations: readonly CheckedOperation[]): Promise<CheckFailure | null> {
    await this.some(operations);
    await this.drain();
    await this.some(readingBack(operations, this.#device.diskSectors));
    await this.drain();
    return this.failure;
  }

  /** Offers all of it; some are in flight at the end. */
  async some(operations: readonly CheckedOperation[]): Promise<void> {
    for (const operation of operations) {
      await this.#below(operation);
      if (this.failure !== null) return;
      const { text, skewBytes } = requestOf(operation, this.#run, this.#plain);
      this.model.begin(operation);
      this.#begun.push(operation);
      this.#inFlight.set(this.#device.offer(operation.queue, text, skewBytes), operation);
    }
  }

  async drain(): Promise<void> {
    while (this.#inFlight.size > 0 && this.failure === null) await this.#take();
  }

  async #below({ depth, queue }: CheckedOperation): Promise<void> {
    while (this.failure === null && this.#inFlight.size > 0) {
      if (this.#inFlight.size < depth && this.#device.hasRoom(queue)) return;
      await this.#take();
    }
  }

  async #take(): Promise<void> {
    const [oldest] = this.#inFlight.values();
    try {
      for (const answer of await this.#device.answers()) this.#check(answer);
    } catch (error) {
      this.#fail(oldest!, error instanceof Error ? error.message : String(error));
    }
  }

  #check({ handle, status, usedBytes, data }: CheckedAnswer): void {
    const operation = this.#inFlight.get(handle);
    if (operation === undefined) throw new Error('an answer to nothing');
    this.#inFlight.delete(handle);
    this.answered++;
    const isRead = operation.kind === 'read';
    const expected = (isRead ? operation.ranges[0]!.sectors * SECTOR : 0) + 1;
    if (status !== VIRTIO_BLK_S_OK) {
      this.#fail(operation, `status ${virtioBlkStatus.nameOf(status)}, expected OK`);
    } else if (usedBytes !== expected) {
      this.#fail(operation, `used length ${usedBytes}, expected ${expected}`);
    } else {
      const mismatch = this.model.end(operation, data);
      if (mismatch !== null) this.#fail(operation, mismatch.text, mismatch);
    }
  }

  #fail(operation: CheckedOperation, what: string, mismatch?: Mismatch): void {
    if (this.failure !== null) return;
    const sector = mismatch?.sector ?? null;
    const touched = sector === null ? [] : this.#begun.filter((other) => touches(other, sector));
    const lines = touched.slice(-TOUCHED_SHOWN).map(operationText);
    const first = `${operationText(operation)}: ${what} (seed ${this.#run})`;
    this.failure = { operation, sector, text: [first, ...lines].join('\n') };
  }
}

function readingBack(operations: readonly CheckedOperation[], diskSectors: number) {
  const touched = new Set<number>();
  for (const { ranges } of operations) {
    for (const { sector, sectors } of ranges) {
      const last = Math.floor((sector + sectors - 1) / READ_BACK_SECTORS);
      for (let at = Math.floor(sector / READ_BACK_SECTORS); at <= last; at++) touched.add(at);
    }
  }
  let number = Math.max(0, ...operations.map((operation) => operation.number));
  return [...touched].map((chunk): CheckedOperation => {
    const sector = chunk * READ_BACK_SECTORS;
    const sectors = Math.min(READ_BACK_SECTORS, diskSectors - sector);
    const ranges = [{ sector, sectors }];
    return {
      number: ++number,
      kind: 'read',
      queue: 0,
      ranges,
      unmap: false,
      depth: 4,
      layout: number,
    };
  });
}

/**
 * The fewest operations found that still fail, by leaving out ever smaller parts (delta debugging). `fails` plays
 * them on a device of their own; at most `plays` times.
 */
export async function fewestThatFail(
  operations: readonly CheckedOperation[],
  fails: (operations: readonly CheckedOperation[]) => Promise<boolean>,
  plays = 300,
): Promise<readonly CheckedOperation[]> {
  // One after the other, if that is enough: what only makes them wait for each other need not stay then.
  const calm = operations.map((operation) => ({ ...operation, depth: 1 }));
  let left: readonly CheckedOperation[] = (await fails(calm)) ? calm : operations;
  let part = Math.ceil(left.length / 2);
  for (let played = 0; part > 0; ) {
    for (let from = 0; from < left.length && played < plays; played++) {
      const fewer = [...left.slice(0, from), ...left.slice(from + part)];
      if (fewer.length > 0 && (await fails(fewer))) left = fewer;
      else from += part;
    }
    part = part === 1 || played >= plays ? 0 : Math.ceil(part / 2);
  }
  return left;
}
