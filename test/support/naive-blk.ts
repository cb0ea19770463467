/**
 * virtio-blk decoding for obviousness: the readable and the writable part of a chain as plain lists of
 * bytes with their guest addresses, arithmetic in BigInt, one rule a line. Property tests hold
 * BlkRequest against it. Source: virtio 1.3 §5.2.6.
 */
import type { RequestLimits } from '../../src/blk/blk-request.ts';
import { RANGE_SECTORS_MAX } from '../../src/blk/disk-shape.ts';
import type { DriverBuffer } from './mock-driver.ts';
import type { GuestRam } from './mock-driver-memory.ts';

export type NaiveRequest =
  | { kind: 'no status byte' }
  | { kind: 'status'; status: number; statusAt: number }
  | { kind: 'flush'; statusAt: number }
  | { kind: 'id'; statusAt: number; data: readonly number[] }
  | {
      kind: 'read' | 'write';
      statusAt: number;
      offset: bigint;
      /** Guest address of each byte, in order. */
      data: readonly number[];
    }
  | {
      kind: 'discard' | 'writeZeroes';
      statusAt: number;
      ranges: ReadonlyArray<readonly [offset: bigint, length: bigint, unmap: boolean]>;
    };

const OK = 0;
const IOERR = 1;
const UNSUPP = 2;

/** Guest addresses of all bytes of one part of a chain. */
function addressesOf(buffers: readonly DriverBuffer[], writable: boolean): number[] {
  return buffers
    .filter((buffer) => (buffer.writable ?? false) === writable)
    .flatMap(({ address, lengthBytes }) =>
      Array.from({ length: lengthBytes }, (_, i) => address + i),
    );
}

export function naiveDecode(
  ram: GuestRam,
  buffers: readonly DriverBuffer[],
  limits: RequestLimits,
): NaiveRequest {
  const readable = addressesOf(buffers, false);
  const writable = addressesOf(buffers, true);
  const statusAt = writable.pop();
  if (statusAt === undefined) return { kind: 'no status byte' };
  const number = (from: number, bytes: number) =>
    readable
      .slice(from, from + bytes)
      .reduceRight((value, at) => value * 256n + BigInt(ram.read(at, 1)[0]!), 0n);
  const status = (value: number): NaiveRequest => ({ kind: 'status', status: value, statusAt });
  if (readable.length < 16) return status(IOERR);

  const type = Number(number(0, 4) % 2n ** 31n);
  const capacity = BigInt(limits.capacitySectors);
  const blockSectors = BigInt(limits.blockSizeBytes) / 512n;
  const fits = (sector: bigint, sectors: bigint) =>
    sector + sectors <= capacity && sector % blockSectors === 0n && sectors % blockSectors === 0n;

  if (type === 4 || type === 5) return { kind: 'flush', statusAt };
  if (type === 8) return { kind: 'id', statusAt, data: writable };
  if (type === 0 || type === 1) {
    if (type === 1 && limits.readOnly) return status(IOERR);
    const data = type === 0 ? writable : readable.slice(16);
    const sector = number(8, 8);
    if (data.length % 512 !== 0 || !fits(sector, BigInt(data.length) / 512n)) return status(IOERR);
    if (data.length === 0) return status(OK);
    return { kind: type === 0 ? 'read' : 'write', statusAt, offset: sector * 512n, data };
  }
  if (type !== 11 && type !== 13) return status(UNSUPP);

  if (limits.readOnly) return status(IOERR);
  if (!(type === 11 ? limits.discard : limits.writeZeroes)) return status(UNSUPP);
  const count = (readable.length - 16) / 16;
  if (count === 0 || !Number.isInteger(count)) return status(IOERR);
  if (count > limits.rangesMax) return status(UNSUPP);
  const ranges = Array.from({ length: count }, (_, i) => ({
    sector: number(16 + 16 * i, 8),
    sectors: number(16 + 16 * i + 8, 4),
    flags: number(16 + 16 * i + 12, 4),
  }));
  // §5.2.6.2: "UNSUPP … if any unknown flag is set", whatever else is wrong with the request.
  if (ranges.some(({ flags }) => flags > (type === 11 ? 0n : 1n))) return status(UNSUPP);
  const max = BigInt(RANGE_SECTORS_MAX);
  if (ranges.some(({ sector, sectors }) => sectors > max || !fits(sector, sectors))) {
    return status(IOERR);
  }
  return {
    kind: type === 11 ? 'discard' : 'writeZeroes',
    statusAt,
    ranges: ranges.map(({ sector, sectors, flags }) => [
      sector * 512n,
      sectors * 512n,
      flags === 1n,
    ]),
  };
}
