/**
 * Conversations of real front-ends, recorded by test/support/record-corpus.ts and said again to a session:
 * it answers what a vloop on a real disk answered, refuses nothing, and gives every descriptor back. What an
 * answer says of the disk or of memory (config space, bases, region sizes) is compared by its length.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { vhostUserMessages as M, vhostUserUnserved } from '../../protocol/vhost-user-messages.ts';
import {
  bytesOf,
  type Conversation,
  type RecordedMessage,
  readConversation,
} from '../support/conversation-file.ts';
import { RecordedSession } from '../support/recording-session-port.ts';

const CORPUS = join(import.meta.dirname, '../corpus');
const FILES = readdirSync(CORPUS).filter((name) => name.endsWith('.jsonl'));

/** Answers that depend on the image or on what was in flight. */
const OF_THE_DISK: readonly number[] = [
  M.GET_CONFIG.code,
  M.GET_VRING_BASE.code,
  M.GET_INFLIGHT_FD.code,
];
/** Words of bits: later versions of vloop may offer more. */
const OFFERS: readonly number[] = [M.GET_FEATURES.code, M.GET_PROTOCOL_FEATURES.code];

function expectAnswer(recorded: RecordedMessage, said: Uint8Array): void {
  const { m, name, r = '' } = recorded;
  const before = bytesOf(r);
  expect(said.length, `${name}: bytes of the answer`).toBe(before.length);
  if (OF_THE_DISK.includes(m)) return;
  if (OFFERS.includes(m)) {
    const kept = before.map((byte, i) => byte & said[i]!);
    expect(kept, `${name}: what was offered once`).toEqual(before);
    return;
  }
  expect(Buffer.from(said).toString('hex'), `${name}: the answer`).toBe(r);
}

/** Says one connection's messages; answers how many there were. */
async function replay({ lines }: Conversation, connection: number): Promise<number> {
  const session = new RecordedSession();
  let count = 0;
  for (const line of lines) {
    if (line.c !== connection || !('m' in line)) continue;
    const { m, p, fds = 0, ack = false, r, rfds = 0, name } = line;
    const fdsBefore = session.repliedFds.length;
    const replies = await session.say(m, bytesOf(p), { fds, needReply: ack });
    expect(replies.length, `answers to message ${count}, ${name}`).toBe(r === undefined ? 0 : 1);
    if (r !== undefined) {
      const { payload } = replies[0]!;
      expectAnswer(line, new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength));
    }
    expect(session.repliedFds.length - fdsBefore, `${name}: descriptors`).toBe(rfds);
    count++;
  }
  expect(session.logLines.filter(({ level }) => level === 'warn')).toEqual([]);
  await session.session.end();
  expect(session.fds.count, 'descriptors that are left').toBe(0);
  return count;
}

describe.each(FILES)('%s', (file) => {
  const conversation = readConversation(join(CORPUS, file));
  const connections = [...new Set(conversation.lines.map(({ c }) => c))];

  test.each(connections)('connection %i is answered as it was', async (connection) => {
    expect(await replay(conversation, connection)).toBeGreaterThan(5);
  });

  test('says which front-end it was, and nothing that the protocol does not know', () => {
    expect(conversation.head.frontEnd).toMatch(/\d+\.\d+/);
    const codes: number[] = [
      ...Object.values(M).map(({ code }) => code),
      ...Object.values(vhostUserUnserved.values),
    ];
    for (const line of conversation.lines) if ('m' in line) expect(codes).toContain(line.m);
  });
});

test('there is a conversation of each kind of front-end', () => {
  expect(FILES.sort()).toEqual(['libblkio.jsonl', 'qemu-10.jsonl', 'qemu-7.2.jsonl']);
});
