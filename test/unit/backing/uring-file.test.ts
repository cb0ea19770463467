/**
 * Operations of the backing port as SQEs: opcode, file, offset, address, length and flags of each.
 */
import { expect, test } from 'vitest';
import {
  IORING_FSYNC_DATASYNC,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  IOSQE_FIXED_FILE,
} from '../../../protocol/io-uring.ts';
import { RWF_DSYNC } from '../../../protocol/linux.ts';
import { UringFile } from '../../../src/backing/uring-file.ts';
import {
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  ioPlace,
} from '../../../src/loop/backing-port.ts';
import { PlainUring, type TakenSqe } from '../../support/plain-uring.ts';

const TAG = 0x12_8007;
const OFFSET = 2 ** 41 + 512;
const ADDRESS = 0x7f12_3456_7000;

function sqeOf(operation: number, length: number, flags: number): TakenSqe {
  const uring = new PlainUring();
  new UringFile(uring.queue, 2).submit(operation, TAG, ioPlace(OFFSET, ADDRESS), length, flags);
  uring.queue.submitAndWait(0);
  const [sqe] = uring.taken;
  expect(sqe).toMatchObject({ fd: 2n, flags: BigInt(IOSQE_FIXED_FILE), user_data: BigInt(TAG) });
  return sqe!;
}

test.each([
  [IO_READ, 0, IORING_OP_READ, 0],
  [IO_READV, 0, IORING_OP_READV, 0],
  [IO_WRITE, 0, IORING_OP_WRITE, 0],
  [IO_WRITEV, 0, IORING_OP_WRITEV, 0],
  [IO_WRITE, IO_FLAG_DSYNC, IORING_OP_WRITE, RWF_DSYNC],
  [IO_WRITEV, IO_FLAG_DSYNC, IORING_OP_WRITEV, RWF_DSYNC],
])('transfer %i with flags %i is opcode %i with rw_flags %i', (operation, flags, opcode, rw) => {
  expect(sqeOf(operation, 77, flags)).toMatchObject({
    opcode: BigInt(opcode),
    off: BigInt(OFFSET),
    addr: BigInt(ADDRESS),
    len: 77n,
    rw_flags: BigInt(rw),
  });
});

test('a data sync is an fsync of data, for the whole file', () => {
  expect(sqeOf(IO_FDATASYNC, 0, 0)).toMatchObject({
    opcode: BigInt(IORING_OP_FSYNC),
    off: 0n,
    addr: 0n,
    len: 0n,
    rw_flags: BigInt(IORING_FSYNC_DATASYNC),
  });
});

test('fallocate has its length in the address and its mode in the length', () => {
  expect(sqeOf(IO_FALLOCATE, 2 ** 30, 3)).toMatchObject({
    opcode: BigInt(IORING_OP_FALLOCATE),
    off: BigInt(OFFSET),
    addr: BigInt(2 ** 30),
    len: 3n,
    rw_flags: 0n,
  });
});
