/**
 * The socket under a session's BackendChannel, and the eventfds whose signals go out on it: sends whole messages, hands on what comes back, closes
 * every fd that comes with it. It never blocks, even when the front-end switches its end of the flags.
 */
import { closeSync } from 'node:fs';
import { EAGAIN } from '../../protocol/linux.ts';
import { drainEventfd } from '../sys/eventfd.ts';
import { watchReadable } from '../sys/poll.ts';
import { classifySocket, FdSocket } from '../sys/unix-socket.ts';
import type { ChannelEvents, ChannelSocket, EventfdWatch } from './session-port.ts';

/** Replies are 20 bytes; the largest message that goes out has 44. */
const RECEIVE_BYTES = 1024;

/** Reads before the event loop gets a turn: a flood must not keep others waiting. */
const READS_PER_TURN = 16;

/** Null: the fd is no connected unix socket, and is still the caller's. */
export function openChannel(fd: number, events: ChannelEvents): ChannelSocket | null {
  if (classifySocket(fd) !== 'connected') return null;
  const socket = new FdSocket(fd, RECEIVE_BYTES);
  let open = true;
  const onReadable = () => {
    for (let reads = 0; open && reads < READS_PER_TURN; reads++) {
      const fds: number[] = [];
      const received = socket.receive(RECEIVE_BYTES, fds);
      for (const stray of fds) closeSync(stray);
      if (received === -EAGAIN) break;
      if (typeof received === 'number' || received.length === 0) {
        events.onClosed();
        return;
      }
      events.onBytes(received);
    }
    if (open) watch.arm();
  };
  const watch = watchReadable(fd, onReadable);
  return {
    send: (bytes) => socket.send(bytes),
    close() {
      if (!open) return;
      open = false;
      watch.stop();
      closeSync(fd);
    },
  };
}

/** Calls back after signals of an eventfd that this process has made. */
export function watchEventfd(fd: number, onSignal: () => void): EventfdWatch {
  const watch = watchReadable(fd, () => {
    // Armed first: the call may end the watch.
    watch.arm();
    if (drainEventfd(fd) > 0) onSignal();
  });
  return {
    stop() {
      watch.stop();
      return drainEventfd(fd) > 0;
    },
  };
}
