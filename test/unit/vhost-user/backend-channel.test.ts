/**
 * Messages of the back-end in a recorded session: what is sent, whose answer is whose, what a front-end
 * that answers wrongly, late or never can do, and when the config change is told.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../../protocol/vhost-user.ts';
import { vhostUserBackendMessages as B } from '../../../protocol/vhost-user-backend-messages.ts';
import {
  BackendChannel,
  CHANNEL_PENDING_MAX,
  CHANNEL_REPLY_MS,
} from '../../../src/vhost-user/backend-channel.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, sessionSteps } from '../../support/session-steps.ts';
import { encodeMessage, u64Payload } from '../../support/vhost-user-messages.ts';

const CONFIG_CHANGE = B.CONFIG_CHANGE_MSG.code;
const CALL = B.VRING_CALL;
let it: RecordedSession;

beforeEach(() => {
  it = new RecordedSession();
});

const { negotiate, setUp, kick } = sessionSteps(() => it);

describe('the channel', () => {
  function open(acks = true) {
    const [fd] = it.fds.open();
    const channel = new BackendChannel(it.port, fd!, () => acks);
    return { channel, end: it.channels.at(-1)! };
  }

  test('without REPLY_ACK a message asks for nothing and is done when it is sent', async () => {
    const { channel, end } = open(false);
    expect(await channel.send(CALL, u64Payload(0))).toBe('done');
    expect(end.sent).toMatchObject([{ request: 4, flags: 1 }]);
    expect(it.timers.size).toBe(0);
  });

  test('answers belong to the messages in their order, also when they come byte by byte', async () => {
    const { channel, end } = open();
    const outcomes = [channel.send(CALL), channel.send(B.CONFIG_CHANGE_MSG), channel.send(CALL)];
    expect(end.sent.map(({ request, flags }) => [request, flags])).toEqual([
      [4, 9],
      [2, 9],
      [4, 9],
    ]);
    const both = new Uint8Array(40);
    both.set(encodeMessage({ request: 4, flags: 5 }, u64Payload(0)));
    both.set(encodeMessage({ request: 2, flags: 5 }, u64Payload(1)), 20);
    for (const byte of both) end.events.onBytes(Uint8Array.of(byte));
    end.reply(4, 0);
    expect(await Promise.all(outcomes)).toEqual(['done', 'refused', 'done']);
    expect(it.timers.size).toBe(0);
  });

  test('an answer that comes too late is not taken for the next one', async () => {
    const { channel, end } = open();
    const first = channel.send(CALL);
    expect([...it.timers.values()]).toEqual([CHANNEL_REPLY_MS]);
    it.expireTimers();
    expect(await first).toBe('unanswered');
    const second = channel.send(CALL);
    end.reply(4, 1);
    end.reply(4, 0);
    expect(await second).toBe('done');
  });

  test('a front-end that never answers is not asked without end', async () => {
    const { channel, end } = open();
    for (let i = 0; i < CHANNEL_PENDING_MAX; i++) void channel.send(CALL);
    expect(await channel.send(CALL)).toBe('unsent');
    expect(end.sent).toHaveLength(CHANNEL_PENDING_MAX);
  });

  test('a front-end that does not read gets nothing more into its way', async () => {
    const { channel, end } = open();
    end.result = -11;
    expect(await channel.send(CALL)).toBe('unsent');
    end.result = 0;
    const next = channel.send(CALL);
    end.reply(4, 0);
    expect(await next).toBe('done');
  });

  test.each<[string, Parameters<typeof encodeMessage>[0], Uint8Array]>([
    ['to another message', { request: 2, flags: 5 }, u64Payload(0)],
    ['that is no reply', { request: 4, flags: 1 }, u64Payload(0)],
    ['of version 2', { request: 4, flags: 6 }, u64Payload(0)],
    ['that is longer', { request: 4, flags: 5, size: 16 }, u64Payload(0)],
    ['that is shorter', { request: 4, flags: 5, size: 0 }, u64Payload(0)],
  ])('a reply %s closes the channel, with a line', async (_, header, payload) => {
    const { channel, end } = open();
    const waiting = channel.send(CALL);
    end.events.onBytes(encodeMessage(header, payload));
    expect(await waiting).toBe('unsent');
    expect([end.open, channel.isOpen, it.fds.count]).toEqual([false, false, 0]);
    expect(it.logLines[0]?.text).toContain('the channel is closed');
    expect(await channel.send(CALL)).toBe('unsent');
  });

  test('a reply that nobody asked for closes it, too', () => {
    const { end } = open();
    end.reply(4, 0);
    expect(end.open).toBe(false);
  });

  test('when the front-end hangs up, what waits gets no answer and the timers are gone', async () => {
    const { channel, end } = open();
    const waiting = channel.send(CALL);
    end.events.onClosed();
    expect(await waiting).toBe('unsent');
    expect([it.timers.size, it.fds.count]).toEqual([0, 0]);
  });
});

describe('in a session', () => {
  const NO_ACK = ALL_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK);

  /** Negotiated, with a channel and, unless told otherwise, a running vring. */
  async function start({ protocol = ALL_PROTOCOL, running = true } = {}) {
    await negotiate(protocol);
    await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
    if (running) await run();
    return it.channels.at(-1)!;
  }

  async function run() {
    await setUp(0);
    await kick(0);
  }

  test('an fd that is no socket is refused and closed', async () => {
    await negotiate();
    it.fds.notSockets.add(it.fds.open()[0]! + 1);
    const [reply] = await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1, needReply: true });
    expect(reply?.payload.getBigUint64(0, true)).not.toBe(0n);
    expect(it.logLines[0]?.error).toContain('not a connected unix socket');
    expect(it.fds.count).toBe(1);
  });

  test('a second channel closes the first, the end of the session the second', async () => {
    const first = await start({ running: false });
    await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
    expect([first.open, it.channels[1]!.open]).toEqual([false, true]);
    await it.session.end();
    expect([it.channels[1]!.open, it.fds.count]).toEqual([false, 0]);
  });

  test.each([
    ['with REPLY_ACK', ALL_PROTOCOL, 9],
    ['without it', NO_ACK, 1],
  ])('a config change is told %s', async (_, protocol, flags) => {
    const channel = await start({ protocol });
    it.session.configChanged();
    expect(channel.sent).toMatchObject([{ request: CONFIG_CHANGE, flags }]);
    expect(channel.sent[0]?.payload.byteLength).toBe(0);
  });

  test('a suspended device says nothing; the change is told when a vring runs, once', async () => {
    const channel = await start({ running: false });
    it.session.configChanged();
    it.session.configChanged();
    expect(channel.sent).toEqual([]);
    await run();
    await it.say('GET_FEATURES');
    expect(channel.sent).toHaveLength(1);
  });

  test('while an answer is waited for, messages are handled as ever', async () => {
    const channel = await start();
    it.session.configChanged();
    expect(await it.say('GET_FEATURES')).toHaveLength(1);
    channel.reply(CONFIG_CHANGE, 0);
    await Promise.resolve();
    expect(it.logLines.at(-1)?.text).toContain('has been told');
  });

  test.each([
    ['refuses', 'refused'],
    ['never answers', 'unanswered'],
    ['hangs up', 'unsent'],
  ])('a front-end that %s is named in the log, and nothing else happens', async (_, outcome) => {
    const channel = await start();
    it.session.configChanged();
    if (outcome === 'refused') channel.reply(CONFIG_CHANGE, 1);
    else if (outcome === 'unanswered') it.expireTimers();
    else channel.events.onClosed();
    await Promise.resolve();
    expect(it.logLines.at(-1)).toMatchObject({ level: 'warn' });
    expect(await it.say('GET_FEATURES')).toHaveLength(1);
  });

  test.each([
    ['gave no channel', ALL_PROTOCOL, false],
    ['has no CONFIG', ALL_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_CONFIG), true],
  ])('a front-end that %s cannot be told, which is said', async (_, protocol, hasChannel) => {
    await negotiate(protocol);
    if (hasChannel) await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
    await run();
    it.session.configChanged();
    expect(it.channels.flatMap(({ sent }) => sent)).toEqual([]);
    expect(it.logLines.at(-1)?.text).toContain('cannot be told');
  });
});
