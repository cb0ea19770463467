/**
 * Watches on the worker's io_uring, with a kernel that the test plays: every signal is reported once, a poll
 * that the kernel ends is put back, and one that is not wanted any more is gone in the end.
 */
import { beforeEach, expect, test } from 'vitest';
import {
  IORING_CQE_F_MORE,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
} from '../../../protocol/io-uring.ts';
import { EALREADY, EBADF, ECANCELED, ENOENT, POLLIN } from '../../../protocol/linux.ts';
import { UringReactor } from '../../../src/worker/uring-reactor.ts';
import { PlainUring, type TakenSqe } from '../../support/plain-uring.ts';

const VRING = 3;
const KICK_FD = 20;

let uring: PlainUring;
let reactor: UringReactor;
let signals: number[];

beforeEach(() => {
  uring = new PlainUring();
  reactor = new UringReactor(uring.queue, { address: 0 });
  signals = [];
});

/** What has been submitted since the last look. */
function taken(): TakenSqe[] {
  reactor.turn(false, false);
  return uring.taken.splice(0);
}

/** Completes a submission, and lets the reactor see it. */
function complete({ user_data }: TakenSqe, result: number, flags = 0): void {
  uring.complete(Number(user_data & 0xffff_ffffn), Number(user_data >> 32n), result, flags);
  reactor.reap({ onSignal: (key) => signals.push(key), onResult: () => {} });
}

function watched(): TakenSqe {
  reactor.watch(VRING, KICK_FD);
  const [poll, ...more] = taken();
  expect([poll?.opcode, poll?.fd, more]).toEqual([BigInt(IORING_OP_POLL_ADD), BigInt(KICK_FD), []]);
  return poll!;
}

/** Ends the watch; the removal, which names the poll. */
function unwatched(poll: TakenSqe): TakenSqe {
  reactor.unwatch(VRING);
  const [removal, ...more] = taken();
  expect([removal?.opcode, removal?.addr, more]).toEqual([
    BigInt(IORING_OP_POLL_REMOVE),
    poll.user_data,
    [],
  ]);
  return removal!;
}

test('every completion of a poll is a signal, and none makes another poll', () => {
  const poll = watched();
  for (let i = 0; i < 3; i++) complete(poll, POLLIN, IORING_CQE_F_MORE);
  expect(signals).toEqual([VRING, VRING, VRING]);
  expect(taken()).toEqual([]);
});

test.each([POLLIN, -ECANCELED])('a poll that the kernel ends with %i is put back', (result) => {
  const poll = watched();
  complete(poll, result);
  expect(signals).toEqual([VRING]);
  expect(taken().map(({ opcode, fd }) => [opcode, fd])).toEqual([[poll.opcode, poll.fd]]);
});

test('a poll that fails is let go', () => {
  complete(watched(), -EBADF);
  expect(taken()).toEqual([]);
});

test('a watch that has ended reports nothing and is not put back', () => {
  const poll = watched();
  const removal = unwatched(poll);
  complete(poll, POLLIN, IORING_CQE_F_MORE);
  complete(poll, -ECANCELED);
  complete(removal, 0);
  expect(signals).toEqual([]);
  expect(taken()).toEqual([]);
});

test('the next watch of the same vring does not take the signals of the last', () => {
  const old = watched();
  unwatched(old);
  const poll = watched();
  complete(old, POLLIN, IORING_CQE_F_MORE);
  expect(signals).toEqual([]);
  complete(poll, POLLIN, IORING_CQE_F_MORE);
  expect(signals).toEqual([VRING]);
});

test('a poll that was too busy to be removed is removed afterwards, and its successor is not', () => {
  const old = watched();
  let removal = unwatched(old);
  watched();
  for (let i = 0; i < 2; i++) {
    complete(removal, -EALREADY);
    const [again, ...more] = taken();
    expect([again?.opcode, again?.addr, more]).toEqual([
      BigInt(IORING_OP_POLL_REMOVE),
      old.user_data,
      [],
    ]);
    removal = again!;
  }
  complete(removal, 0);
  expect(taken()).toEqual([]);
});

test('a poll that had ended before it was removed needs nothing more', () => {
  complete(unwatched(watched()), -ENOENT);
  expect(taken()).toEqual([]);
});
