/**
 * What anybody may see of the loop commands of a vring: what each is and what it waits for, in memory that
 * its worker and the main thread share. So a request can be found while its worker is stuck in a system
 * call. Plain stores of one writer: a reader takes what it sees for a moment ago, no more.
 */

/** Stages of a command in flight; 0 is no command. */
export const STAGE_NONE = 0;
export const STAGE_TRANSFER = 1;
export const STAGE_BOUNCE = 2;
export const STAGE_FLUSH = 3;
export const STAGE_RANGE = 4;
export const STAGE_ZEROES = 5;

/** Of all arrays below. */
const BYTES_PER_COMMAND = 4 * 8 + 2 + 3;

export interface ShownCommand {
  readonly head: number;
  readonly op: number;
  readonly stage: number;
  readonly startMs: number;
  readonly firstBytes: number;
  readonly lengthBytes: number;
  readonly remainingBytes: number;
  readonly hasBounce: boolean;
  readonly retries: number;
}

export class CommandBoard {
  readonly memory: SharedArrayBuffer;
  readonly size: number;
  /** When the request was taken from its ring (turn-clock.ts). */
  readonly startMs: Float64Array;
  /** The request as it came: where it begins on the disk, and its bytes. */
  readonly firstBytes: Float64Array;
  readonly lengthBytes: Float64Array;
  /** Of its data, what is not transferred yet. */
  readonly remainingBytes: Float64Array;
  /** Bounce buffer held, or -1. */
  readonly bounce: Int16Array;
  /** OP_* of blk-request.ts. */
  readonly op: Uint8Array;
  readonly stage: Uint8Array;
  /** Times that the operation under way was repeated. */
  readonly retries: Uint8Array;

  /** `size`: of the ring. */
  constructor(size: number, memory = new SharedArrayBuffer(size * BYTES_PER_COMMAND)) {
    this.memory = memory;
    this.size = size;
    this.startMs = new Float64Array(memory, 0, size);
    this.firstBytes = new Float64Array(memory, 8 * size, size);
    this.lengthBytes = new Float64Array(memory, 16 * size, size);
    this.remainingBytes = new Float64Array(memory, 24 * size, size);
    this.bounce = new Int16Array(memory, 32 * size, size);
    this.op = new Uint8Array(memory, 34 * size, size);
    this.stage = new Uint8Array(memory, 35 * size, size);
    this.retries = new Uint8Array(memory, 36 * size, size);
  }

  /** Commands in flight, counted where they stand: also while their worker hangs. */
  get inFlightCount(): number {
    let count = 0;
    for (let head = 0; head < this.size; head++) if (this.stage[head] !== STAGE_NONE) count++;
    return count;
  }

  /** The commands in flight, the oldest first. */
  inFlight(): ShownCommand[] {
    const shown: ShownCommand[] = [];
    for (let head = 0; head < this.size; head++) {
      const stage = this.stage[head]!;
      if (stage === STAGE_NONE) continue;
      shown.push({
        head,
        op: this.op[head]!,
        stage,
        startMs: this.startMs[head]!,
        firstBytes: this.firstBytes[head]!,
        lengthBytes: this.lengthBytes[head]!,
        remainingBytes: this.remainingBytes[head]!,
        hasBounce: this.bounce[head]! >= 0,
        retries: this.retries[head]!,
      });
    }
    return shown.sort((a, b) => a.startMs - b.startMs);
  }
}
