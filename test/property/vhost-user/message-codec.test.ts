/**
 * The message codec against a naive one: any stream of messages, cut anywhere, gives the same messages,
 * fds and first error as parsing the whole stream at once; and no fd is ever lost.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VHOST_USER_VRING_NOFD_MASK } from '../../../protocol/vhost-user.ts';
import {
  VHOST_USER_MAX_PAYLOAD_BYTES,
  vhostUserMessages,
} from '../../../protocol/vhost-user-messages.ts';
import { MessageDecoder } from '../../../src/vhost-user/message-decoder.ts';
import { encodeReply } from '../../../src/vhost-user/message-encoder.ts';
import { ProtocolError } from '../../../src/vhost-user/protocol-error.ts';
import { holds } from '../../support/property.ts';

/** A message as the naive side has it: plain bytes and a count of fds. */
interface Plain {
  readonly request: number;
  readonly flags: number;
  readonly payload: number[];
  readonly fds: number;
}

/** The rows of the protocol in the plainest words, written apart from the table. */
const FIXED: Readonly<Record<number, readonly [bytes: number, fds: number | 'bit8' | 'maybe']>> = {
  1: [0, 0],
  2: [8, 0],
  3: [0, 0],
  4: [0, 0],
  6: [16, 1],
  7: [0, 1],
  8: [8, 0],
  9: [40, 0],
  10: [8, 0],
  11: [8, 0],
  12: [8, 'bit8'],
  13: [8, 'bit8'],
  14: [8, 'bit8'],
  15: [0, 0],
  16: [8, 0],
  17: [0, 0],
  18: [8, 0],
  21: [0, 1],
  22: [32, 0],
  35: [8, 0],
  34: [0, 0],
  36: [0, 0],
  37: [40, 1],
  38: [40, 'maybe'],
  39: [8, 0],
  40: [0, 0],
  42: [8, 1],
  43: [0, 0],
  45: [8, 0],
};
/** With the padding of C or without it. */
const INFLIGHT = [20, 24];
const GET_INFLIGHT_FD = 31;
const SET_INFLIGHT_FD = 32;
const SET_MEM_TABLE = 5;
const CONFIG = [24, 25];

function u32(bytes: readonly number[], at: number): number {
  return bytes[at]! + bytes[at + 1]! * 2 ** 8 + bytes[at + 2]! * 2 ** 16 + bytes[at + 3]! * 2 ** 24;
}

/** Whether a whole message is right, by the naive rules. */
function isRight({ request, flags, payload, fds }: Plain): boolean {
  if (flags % 4 !== 1 || Math.floor(flags / 4) % 2 === 1 || fds > 8) return false;
  if (payload.length > VHOST_USER_MAX_PAYLOAD_BYTES) return false;
  if (request === SET_MEM_TABLE) {
    if (payload.length < 8) return false;
    const count = u32(payload, 0);
    return count <= 8 && payload.length >= 8 + 32 * count && fds === count;
  }
  if (CONFIG.includes(request)) {
    if (payload.length < 12 || fds > 0) return false;
    return u32(payload, 4) <= 256 && payload.length === 12 + u32(payload, 4);
  }
  if (request === GET_INFLIGHT_FD) return INFLIGHT.includes(payload.length) && fds === 0;
  if (request === SET_INFLIGHT_FD) return INFLIGHT.includes(payload.length) && fds === 1;
  const row = FIXED[request];
  if (row === undefined) return true;
  if (payload.length !== row[0]) return false;
  if (row[1] === 'maybe') return fds <= 1;
  if (row[1] === 'bit8') {
    const hasFd = Math.floor(u32(payload, 0) / VHOST_USER_VRING_NOFD_MASK) % 2 === 0;
    return fds === (hasFd ? 1 : 0);
  }
  return fds === row[1];
}

function bytesOf({ request, flags, payload }: Plain): number[] {
  const word = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  return [...word(request), ...word(flags), ...word(payload.length), ...payload];
}

const codes = Object.values(vhostUserMessages).map((row) => row.code);
const byte = fc.integer({ min: 0, max: 255 });
const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length });

const rightMessage: fc.Arbitrary<Plain> = fc.constantFrom(...codes).chain((request) => {
  const flags = fc.constantFrom(1, 9);
  if (request === SET_MEM_TABLE) {
    return fc.integer({ min: 0, max: 8 }).chain((count) =>
      bytes(32 * count).map((regions) => ({
        request,
        flags: 1,
        payload: [count, 0, 0, 0, 0, 0, 0, 0, ...regions],
        fds: count,
      })),
    );
  }
  if (CONFIG.includes(request)) {
    return fc.integer({ min: 0, max: 96 }).chain((size) =>
      bytes(size).map((config) => ({
        request,
        flags: 9,
        payload: [0, 0, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, ...config],
        fds: 0,
      })),
    );
  }
  if (request === GET_INFLIGHT_FD || request === SET_INFLIGHT_FD) {
    const fds = request === SET_INFLIGHT_FD ? 1 : 0;
    return fc
      .constantFrom(...INFLIGHT)
      .chain(bytes)
      .map((payload) => ({ request, flags: 9, payload, fds }));
  }
  const [length, rule] = FIXED[request]!;
  return fc.record({ payload: bytes(length), flags, maybe: fc.boolean() }).map((drawn) => {
    const noFd = length > 0 && Math.floor(u32(drawn.payload, 0) / 256) % 2 === 1;
    const fds = rule === 'bit8' ? (noFd ? 0 : 1) : rule === 'maybe' ? Number(drawn.maybe) : rule;
    return { request, flags: drawn.flags, payload: drawn.payload, fds };
  });
});

const anyMessage: fc.Arbitrary<Plain> = fc.oneof(
  { weight: 6, arbitrary: rightMessage },
  {
    weight: 1,
    arbitrary: fc.record({
      request: fc.oneof(fc.constantFrom(...codes), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
      flags: fc.oneof(fc.constantFrom(1, 9), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
      payload: fc.integer({ min: 0, max: 300 }).chain(bytes),
      fds: fc.integer({ min: 0, max: 12 }),
    }),
  },
);

/** One received piece of the stream: bytes, and the fds that came with its first byte. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

/** Reads as the connection does: never more than wanted; fds never straddle a read. */
class Stream {
  readonly #pieces: Piece[];

  constructor(pieces: readonly Piece[]) {
    this.#pieces = [...pieces];
  }

  receive(wanted: number): Piece | undefined {
    const piece = this.#pieces.shift();
    if (piece === undefined || piece.bytes.length <= wanted) return piece;
    this.#pieces.unshift({ bytes: piece.bytes.subarray(wanted), fds: [] });
    return { bytes: piece.bytes.subarray(0, wanted), fds: piece.fds };
  }
}

interface Decoded {
  readonly messages: Array<{ request: number; payload: number[]; fds: number[] }>;
  readonly failed: boolean;
  readonly leftFds: number[];
}

function decodeAll(pieces: readonly Piece[]): Decoded {
  const decoder = new MessageDecoder();
  const stream = new Stream(pieces);
  const messages: Decoded['messages'] = [];
  let failed = false;
  try {
    for (;;) {
      const piece = stream.receive(decoder.wantedBytes);
      if (piece === undefined) break;
      const message = decoder.push(piece.bytes, piece.fds);
      if (message === null) continue;
      const payload = Array.from(new Uint8Array(message.payload.buffer));
      messages.push({ request: message.request, payload, fds: message.fds });
    }
  } catch (error) {
    if (!(error instanceof ProtocolError) || !error.fatal) throw error;
    failed = true;
  }
  return { messages, failed, leftFds: decoder.takeFds() };
}

/** The stream cut at positions; fds go with the piece that has their message's first byte. */
function cut(
  messages: readonly Plain[],
  cuts: readonly number[],
): { pieces: Piece[]; fds: number } {
  const pieces: Piece[] = [];
  let nextFd = 100;
  let total = 0;
  for (const message of messages) {
    const whole = Uint8Array.from(bytesOf(message));
    const fds = Array.from({ length: message.fds }, () => nextFd++);
    const inside = cuts
      .map((position) => (position % (total + whole.length + 1)) - total)
      .filter((at) => at > 0 && at < whole.length)
      .sort((a, b) => a - b);
    const edges = [0, ...new Set(inside), whole.length];
    edges.slice(1).forEach((edge, i) => {
      pieces.push({ bytes: whole.subarray(edges[i]!, edge), fds: i === 0 ? fds : [] });
    });
    total += whole.length;
  }
  return { pieces, fds: nextFd - 100 };
}

test('every cut of a stream gives the messages of the naive parser, up to its first wrong one', () => {
  const streams = fc.record({
    messages: fc.array(anyMessage, { maxLength: 8 }),
    cuts: fc.array(fc.nat(4000), { maxLength: 40 }),
  });
  holds(streams, ({ messages, cuts }) => {
    const { pieces } = cut(messages, cuts);
    const decoded = decodeAll(pieces);
    const firstWrong = messages.findIndex((message) => !isRight(message));
    const right = firstWrong < 0 ? messages : messages.slice(0, firstWrong);
    expect(decoded.failed).toBe(firstWrong >= 0);
    expect(decoded.messages.map(({ request, payload }) => ({ request, payload }))).toEqual(
      right.map(({ request, payload }) => ({ request, payload })),
    );
    expect(decoded.messages.map(({ fds }) => fds.length)).toEqual(right.map(({ fds }) => fds));
  });
});

test('bug class 12: every fd comes out exactly once, with a message or at the end', () => {
  const streams = fc.record({
    messages: fc.array(anyMessage, { maxLength: 8 }),
    cuts: fc.array(fc.nat(4000), { maxLength: 10 }),
    end: fc.nat(30),
  });
  holds(streams, ({ messages, cuts, end }) => {
    const { pieces } = cut(messages, cuts);
    // The stream may stop anywhere.
    const received = pieces.slice(0, pieces.length - (end % (pieces.length + 1)));
    const { messages: decoded, failed, leftFds } = decodeAll(received);
    const out = [...decoded.flatMap(({ fds }) => fds), ...leftFds];
    const sent = received.flatMap(({ fds }) => fds);
    // After a failure the rest of the stream is never read.
    expect(out).toEqual(failed ? sent.slice(0, out.length) : sent);
    if (!failed) expect(out).toHaveLength(sent.length);
  });
});

test('random bytes are messages or one fatal protocol error, and nothing else', () => {
  holds(fc.uint8Array({ maxLength: 600 }), (noise) => {
    decodeAll([{ bytes: noise, fds: [] }]);
  });
});

test('a reply is read back by the naive parser', () => {
  const replies = fc.record({
    request: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    payload: fc.uint8Array({ maxLength: 300 }),
  });
  holds(replies, ({ request, payload }) => {
    const bytes = Array.from(encodeReply(request, payload));
    expect([u32(bytes, 0), u32(bytes, 4), u32(bytes, 8)]).toEqual([request, 5, payload.length]);
    expect(bytes.slice(12)).toEqual(Array.from(payload));
  });
});
