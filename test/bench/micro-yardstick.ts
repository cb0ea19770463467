/**
 * The loop that micro-benchmark figures are divided by: it does what the data path does most, loads that depend on
 * loads, checks, a little arithmetic on doubles, stores, over as little memory. Its work must never change, or every
 * baseline changes with it.
 */
const RECORDS = 256;
const RECORD_BYTES = 16;
const STEPS = 512;

export class Yardstick {
  /** Steps of one wave. */
  readonly count = STEPS;
  readonly #table = new DataView(new ArrayBuffer(RECORDS * RECORD_BYTES));
  readonly #sums = new Float64Array(RECORDS);
  readonly #visits = new Uint16Array(RECORDS);

  constructor() {
    for (let i = 0; i < RECORDS; i++) {
      this.#table.setUint32(i * RECORD_BYTES, i * 4096, true);
      this.#table.setUint32(i * RECORD_BYTES + 4, i & 7, true);
      this.#table.setUint32(i * RECORD_BYTES + 8, 512 + i, true);
      // 77 is odd, so that the walk passes every record before it comes back.
      this.#table.setUint16(i * RECORD_BYTES + 14, (i + 77) % RECORDS, true);
    }
  }

  /** Runs one wave; its milliseconds. */
  wave(): number {
    const start = performance.now();
    const last = this.#walk(0);
    const spent = performance.now() - start;
    if (last !== (STEPS * 77) % RECORDS) throw new Error(`the walk ended at ${last}`);
    return spent;
  }

  #walk(first: number): number {
    const table = this.#table;
    let index = first;
    for (let step = 0; step < STEPS; step++) {
      const at = index * RECORD_BYTES;
      const address = table.getUint32(at + 4, true) * 2 ** 32 + table.getUint32(at, true);
      const length = table.getUint32(at + 8, true);
      if (address + length > Number.MAX_SAFE_INTEGER) return -1;
      this.#sums[index] = address + length;
      this.#visits[index]!++;
      index = table.getUint16(at + 14, true);
      if (index >= RECORDS) return -1;
    }
    return index;
  }
}
