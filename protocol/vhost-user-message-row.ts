/**
 * What a row of the vhost-user message table says of a message: its payload, what may follow it, its fds, whether it is
 * answered, and the protocol feature that it needs. Source: QEMU docs/interop/vhost-user.rst. Data only.
 */
import type { Layout } from './layout.ts';

/**
 * How many fds a message carries: exactly `n`; `perRegion`: one for each region of the payload;
 * `unlessNoFdBit`: one unless bit 8 of the payload is set; `optional`: none, or one that is closed
 * (libblkio sends one with REM_MEM_REG).
 */
export type FdRule = number | 'perRegion' | 'unlessNoFdBit' | 'optional';

/** `payload`: always answered with a payload. `ack`: a u64 status, only when NEED_REPLY asks for it. */
export type ReplyKind = 'payload' | 'ack';

export interface MessageRow {
  readonly name: string;
  readonly code: number;
  /** The fixed part of the payload; null = no payload. */
  readonly payload: Layout | null;
  /**
   * What may follow the fixed part: nothing, regions counted by the head, config bytes, or the padding that
   * the struct has in C.
   */
  readonly tail?: 'regions' | 'config' | 'padding';
  readonly fds: FdRule;
  readonly reply: ReplyKind;
  /** A file descriptor goes with the reply. */
  readonly replyFd?: true;
  /** Bit number of the protocol feature without which the message is a violation; null = none. */
  readonly needs: number | null;
  readonly meaning: string;
}

type RowRest = Omit<MessageRow, 'name' | 'code'>;

export function row(name: string, code: number, rest: RowRest): MessageRow {
  return { name: `VHOST_USER_${name}`, code, ...rest };
}
