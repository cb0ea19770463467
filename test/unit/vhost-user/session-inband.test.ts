/**
 * In-band notifications of a recorded session: which eventfds stand in for which, when a message goes out,
 * and that each signal is either answered for or followed by one more message.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../protocol/vhost-user.ts';
import type { VringStart } from '../../../src/worker/messages.ts';
import { type RecordedChannel, RecordedSession } from '../../support/recording-session-port.ts';
import { OFFERED_PROTOCOL, sessionSteps } from '../../support/session-steps.ts';
import {
  u64Payload,
  vringFdPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

const CALL = 4;
const ERR = 5;
let it: RecordedSession;
let channel: RecordedChannel;

const { negotiate, setUp, statusOf } = sessionSteps(() => it);

beforeEach(async () => {
  it = new RecordedSession();
  await negotiate(OFFERED_PROTOCOL);
  await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
  channel = it.channels[0]!;
  await setUp(1);
});

function started(): VringStart {
  return it.disk.callsOf('startVring')[0]![0] as VringStart;
}

const kick = () => it.say('VRING_KICK', vringStatePayload(1, 0));
/** The worker signals an eventfd. */
const signal = (fd: number) => it.watches.get(fd)!.onSignal();
const sent = () =>
  channel.sent.map(({ request, payload }) => [
    request,
    payload.getUint32(0, true),
    payload.getUint32(4, true),
  ]);

describe('SET_PROTOCOL_FEATURES', () => {
  test.each([
    ['alone', bitsToWord(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)],
    ['without REPLY_ACK', OFFERED_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK)],
    ['without BACKEND_REQ', OFFERED_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_BACKEND_REQ)],
  ])('in-band notifications %s end the session', async (_, acked) => {
    const said = it.say('SET_PROTOCOL_FEATURES', u64Payload(acked), { needReply: true });
    await expect(said).rejects.toMatchObject({ fatal: true });
  });
});

describe('VRING_KICK', () => {
  test('starts a ring with an eventfd of our own, and kicks it by that', async () => {
    await kick();
    const { kickFd } = started();
    expect(kickFd).toBeGreaterThanOrEqual(0);
    expect(it.disk.callsOf('signal')).toEqual([]);
    await kick();
    expect(it.disk.callsOf('signal')).toEqual([[kickFd]]);
  });

  test.each<[string, Uint8Array]>([
    ['of a vring that is not there', vringStatePayload(4, 0)],
    ['of index 2^32 - 1', vringStatePayload(0xffff_ffff, 0)],
    ['with a num', vringStatePayload(1, 1)],
    ['of a vring without size', vringStatePayload(0, 0)],
  ])('%s is refused', async (_, payload) => {
    expect(await statusOf('VRING_KICK', payload)).toBe(1n);
    expect(it.disk.callsOf('startVring')).toEqual([]);
    await it.session.end();
    expect(it.fds.count).toBe(0);
  });

  test('without the protocol feature is refused', async () => {
    it = new RecordedSession();
    await negotiate();
    expect(await statusOf('VRING_KICK', vringStatePayload(0, 0))).toBe(1n);
  });

  test('of a ring that was set to polling changes nothing', async () => {
    await it.say('SET_VRING_KICK', vringFdPayload(1, false));
    expect(started().kickFd).toBe(-1);
    await kick();
    expect(it.disk.callsOf('signal')).toEqual([]);
  });
});

describe('calls and errors', () => {
  test('go out as messages', async () => {
    await kick();
    const { callFd, errFd } = started();
    signal(callFd);
    signal(errFd);
    expect(sent()).toEqual([
      [CALL, 1, 0],
      [ERR, 1, 0],
    ]);
    expect(channel.sent[0]?.flags).toBe(9);
  });

  test('that come while one is unanswered are one more message, after it', async () => {
    await kick();
    const { callFd } = started();
    for (let i = 0; i < 5; i++) signal(callFd);
    expect(sent()).toHaveLength(1);
    channel.reply(CALL, 0);
    await Promise.resolve();
    await Promise.resolve();
    expect(sent()).toHaveLength(2);
    channel.reply(CALL, 0);
    await Promise.resolve();
    await Promise.resolve();
    expect(sent()).toHaveLength(2);
  });

  test('signalled as the ring stops go out before the reply to that', async () => {
    await kick();
    const { callFd } = started();
    it.watches.get(callFd)!.left = true;
    await it.say('GET_VRING_BASE', vringStatePayload(1, 0));
    expect(sent()).toEqual([[CALL, 1, 0]]);
  });

  test('of a vring with an eventfd go there, and of one that is polled nowhere', async () => {
    await it.say('SET_VRING_CALL', vringFdPayload(1, true), { fds: 1 });
    await it.say('SET_VRING_ERR', vringFdPayload(1, false));
    await kick();
    expect(it.watches.size).toBe(0);
    expect([started().callFd >= 0, started().errFd]).toEqual([true, -1]);
  });

  test('an eventfd that comes later takes over', async () => {
    await kick();
    await it.say('SET_VRING_CALL', vringFdPayload(1, true), { fds: 1 });
    expect(it.watches.has(started().callFd)).toBe(false);
    expect(it.disk.callsOf('setVringFd')).toHaveLength(1);
  });

  test('without a channel are lost, with a line', async () => {
    channel.events.onClosed();
    await kick();
    signal(started().callFd);
    await Promise.resolve();
    expect(it.logLines.at(-1)?.text).toContain('notification is lost');
  });
});

test('a ring that stops and starts leaves no fd and no watch behind', async () => {
  for (let round = 0; round < 5; round++) {
    await kick();
    await it.say('GET_VRING_BASE', vringStatePayload(1, 0));
  }
  expect([...it.watches.keys()]).toHaveLength(1);
  await it.session.end();
  expect([it.watches.size, it.fds.count, it.timers.size]).toEqual([0, 0, 0]);
});

test('another process cannot take it over', async () => {
  expect(it.session.pinned).toBe(null);
  await kick();
  expect(it.session.pinned).toContain('in-band');
});
