/**
 * The queues of an io_uring on plain arrays: what is written is what the kernel reads, indices wrap, full
 * queues make room, and no completion is lost or seen twice.
 */
import { describe, expect, test } from 'vitest';
import {
  IORING_ENTER_GETEVENTS,
  IORING_OP_READ,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  IOSQE_FIXED_FILE,
} from '../../../protocol/io-uring.ts';
import { EAGAIN, EBADF, EBUSY, EINTR } from '../../../protocol/linux.ts';
import { PlainUring } from '../../support/plain-uring.ts';

/** Collects completions. */
class Seen {
  readonly all: Array<[number, number, number, number]> = [];
  onCompletion(low: number, high: number, result: number, flags: number): void {
    this.all.push([low, high, result, flags]);
  }
}

const nop = (uring: PlainUring, low: number) => uring.queue.prepare(0, -1, 0, 0, 0, 0, low, 0);

describe('submissions', () => {
  test('every field arrives, 64-bit ones whole', () => {
    const uring = new PlainUring();
    const opcode = IORING_OP_READ | (IOSQE_FIXED_FILE << 8);
    uring.queue.prepare(opcode, 3, 2 ** 40 + 7, 0x7fff_1234_5678, 4096, 2, 0xdead_beef, 9);
    expect(uring.queue.submitAndWait(0)).toBe(0);
    expect(uring.taken).toEqual([
      {
        opcode: BigInt(IORING_OP_READ),
        flags: BigInt(IOSQE_FIXED_FILE),
        ioprio: 0n,
        fd: 3n,
        off: 2n ** 40n + 7n,
        addr: 0x7fff_1234_5678n,
        len: 4096n,
        rw_flags: 2n,
        user_data: (9n << 32n) | 0xdead_beefn,
        buf_index: 0n,
        personality: 0n,
        file_index: 0n,
        addr3: 0n,
        pad2: 0n,
      },
    ]);
  });

  test('a slot that is used again keeps nothing of what was in it', () => {
    const uring = new PlainUring(1);
    uring.queue.prepare(1, 1, 2 ** 52, 2 ** 52, 7, 7, 7, 7);
    uring.queue.submitAndWait(0);
    nop(uring, 5);
    uring.queue.submitAndWait(0);
    expect(uring.taken[1]).toMatchObject({ off: 0n, addr: 0n, len: 0n, rw_flags: 0n, fd: -1n });
    expect(uring.taken[1]?.user_data).toBe(5n);
  });

  test('are in order, over many turns of the ring and over 2^32', () => {
    const uring = new PlainUring(8, 16, 2 ** 32 - 5);
    for (let i = 0; i < 100; i++) {
      nop(uring, i);
      if (i % 3 === 0) uring.queue.submitAndWait(0);
    }
    uring.queue.submitAndWait(0);
    expect(uring.taken.map(({ user_data }) => Number(user_data))).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  test('a full queue is submitted to make room', () => {
    const uring = new PlainUring(4);
    for (let i = 0; i < 10; i++) nop(uring, i);
    expect(uring.enters.map(({ toSubmit }) => toSubmit)).toEqual([4, 4]);
    expect(uring.queue.pendingSubmissions).toBe(2);
  });

  test('what the kernel did not take stays, and goes with the next call', () => {
    const uring = new PlainUring();
    uring.takeAtMost = 2;
    for (let i = 0; i < 5; i++) nop(uring, i);
    uring.queue.submitAndWait(0);
    expect(uring.queue.pendingSubmissions).toBe(3);
    uring.queue.submitAndWait(0);
    uring.queue.submitAndWait(0);
    expect(uring.taken.map(({ user_data }) => Number(user_data))).toEqual([0, 1, 2, 3, 4]);
  });

  test.each([EINTR, EAGAIN, EBUSY])('errno %i is no failure, and nothing is lost', (errno) => {
    const uring = new PlainUring();
    nop(uring, 1);
    uring.failures.push(-errno);
    expect(uring.queue.submitAndWait(1)).toBe(0);
    expect(uring.queue.pendingSubmissions).toBe(1);
    uring.queue.submitAndWait(0);
    expect(uring.taken).toHaveLength(1);
  });

  test('any other errno is answered', () => {
    const uring = new PlainUring();
    uring.failures.push(-EBADF);
    expect(uring.queue.submitAndWait(0)).toBe(-EBADF);
  });

  test('a full queue that the kernel does not take is an error, not a loop', () => {
    const uring = new PlainUring(2);
    nop(uring, 0);
    nop(uring, 1);
    uring.takeAtMost = 0;
    expect(() => nop(uring, 2)).toThrow(/takes no submissions/);
  });

  test('every call asks for events, so that deferred completions run', () => {
    const uring = new PlainUring();
    uring.queue.submitAndWait(3);
    expect(uring.enters).toEqual([{ toSubmit: 0, minComplete: 3, flags: IORING_ENTER_GETEVENTS }]);
  });
});

describe('completions', () => {
  test('come with both halves of user_data, signed results, and flags', () => {
    const uring = new PlainUring();
    uring.complete(0xffff_ffff, 0x8000_0001, -5, 2);
    const seen = new Seen();
    expect(uring.queue.reap(seen, 10)).toBe(1);
    expect(seen.all).toEqual([[0xffff_ffff, 0x8000_0001, -5, 2]]);
    expect(uring.queue.reap(seen, 10)).toBe(0);
  });

  test('are handed out up to the limit, the rest later, each once, over 2^32', () => {
    const uring = new PlainUring(8, 16, 2 ** 32 - 3);
    const seen = new Seen();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 7; i++) uring.complete(round * 7 + i, 0, 0);
      expect(uring.queue.reap(seen, 4)).toBe(4);
      expect(uring.queue.hasCompletions()).toBe(true);
      expect(uring.queue.reap(seen, 4)).toBe(3);
      expect(uring.queue.hasCompletions()).toBe(false);
    }
    expect(seen.all.map(([low]) => low)).toEqual(Array.from({ length: 70 }, (_, i) => i));
  });

  test('a handler may submit and enter the kernel in the middle', () => {
    const uring = new PlainUring(1, 4);
    for (let i = 0; i < 3; i++) uring.complete(i, 0, 0);
    uring.queue.reap({ onCompletion: (low) => nop(uring, 100 + low) }, 10);
    uring.queue.submitAndWait(0);
    expect(uring.taken.map(({ user_data }) => Number(user_data))).toEqual([100, 101, 102]);
  });

  test.each([IORING_SQ_TASKRUN, IORING_SQ_CQ_OVERFLOW])(
    'flag %i says that an enter would bring some',
    (flag) => {
      const uring = new PlainUring();
      expect(uring.queue.hasCompletions()).toBe(false);
      uring.sqFlags = flag;
      expect(uring.queue.hasCompletions()).toBe(true);
    },
  );
});
