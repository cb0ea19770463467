/**
 * A recorded vhost-user conversation as lines of JSON (test/corpus/): first what was recorded, then every
 * message of the front-end with its answer, in order. Payloads are hexadecimal, descriptors are counted.
 */
import { readFileSync } from 'node:fs';

export interface ConversationHead {
  /** Name and version of the front-end. */
  readonly frontEnd: string;
  /** What happened meanwhile. */
  readonly scenario: string;
  /** vloop's options that shape its answers. */
  readonly options: readonly string[];
}

/** Fields that are false, 0 or empty are left out of the file. */
export interface RecordedMessage {
  /** Connections count from 1. */
  readonly c: number;
  /** The request's code. */
  readonly m: number;
  /** Its name, for people. */
  readonly name: string;
  /** NEED_REPLY. */
  readonly ack?: boolean;
  /** Payload, descriptors. */
  readonly p?: string;
  readonly fds?: number;
  /** The answer's payload, if there was one, and its descriptors. */
  readonly r?: string;
  readonly rfds?: number;
}

export interface RecordedEnd {
  readonly c: number;
  readonly end: 'front-end' | 'back-end';
}

export type ConversationLine = RecordedMessage | RecordedEnd;

export interface Conversation {
  readonly head: ConversationHead;
  readonly lines: readonly ConversationLine[];
}

export function readConversation(path: string): Conversation {
  const [head, ...lines] = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  return { head: head as ConversationHead, lines: lines as ConversationLine[] };
}

export function conversationText({ head, lines }: Conversation): string {
  return `${[head, ...lines].map((line) => JSON.stringify(line)).join('\n')}\n`;
}

export function bytesOf(hex = ''): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
