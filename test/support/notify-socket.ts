/**
 * A service manager's notification socket: a unix datagram socket by path or by abstract name (`@name`), and what has
 * been said to it. Node has none of its own.
 */
import { closeSync, rmSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from '../../protocol/linux.ts';
import { unixSocketAddress } from '../../src/sys/datagram.ts';
import { declare, FixedBytes, valueOrErrno } from '../../src/sys/libc.ts';
import { eventually } from './waiting.ts';

const socket = declare('int socket(int, int, int)');
const bind = declare('int bind(int, uintptr_t, unsigned int)');
const recv = declare('intptr_t recv(int, uintptr_t, size_t, int)');

const MESSAGE_BYTES = 4096;
const WAIT_MS = 30_000;

export class NotifySocket {
  readonly name: string;
  readonly #fd: number;
  readonly #buffer = new FixedBytes(MESSAGE_BYTES);
  readonly #heard: string[] = [];

  constructor(name: string) {
    this.name = name;
    this.#fd = valueOrErrno(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const address = unixSocketAddress(name)!;
    const result = valueOrErrno(bind(this.#fd, address.address, address.bytes.length));
    if (result < 0) throw new Error(`cannot bind ${name}: ${errnoName(result)}`);
  }

  /** Everything so far, one message after the other. */
  get messages(): readonly string[] {
    for (;;) {
      const length = valueOrErrno(
        recv(this.#fd, this.#buffer.address, MESSAGE_BYTES, MSG_DONTWAIT),
      );
      if (length < 0) return this.#heard;
      this.#heard.push(new TextDecoder().decode(this.#buffer.bytes.slice(0, length)));
    }
  }

  /** The first message from the `from`th on that has the line `line`. */
  async says(line: string, from = 0): Promise<string> {
    return await eventually(
      () => `"${line}" at the notification socket; it heard: ${JSON.stringify(this.#heard)}`,
      WAIT_MS,
      () => this.messages.slice(from).find((message) => message.split('\n').includes(line)),
    );
  }

  close(): void {
    closeSync(this.#fd);
    if (!this.name.startsWith('@')) rmSync(this.name, { force: true });
  }
}
