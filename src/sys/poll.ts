/**
 * Readiness of any file descriptor on Node's event loop, without a parked thread (koffi's uv_poll).
 */
import koffi from 'koffi';

export interface FdWatch {
  /** Asks for one more call; it comes at once when the fd is readable. */
  arm(): void;
  /** Ends the watch; the fd may be closed after. Calling it again does nothing. */
  stop(): void;
}

const EVENTS = { readable: true, disconnect: true };

/**
 * Calls `onReadable` once when `fd` is readable or its peer has hung up, and again after `arm`. Once, because
 * readiness lasts until somebody reads, and who is busy with something else would be called all the time.
 */
export function watchReadable(fd: number, onReadable: () => void): FdWatch {
  const onEvent = () => {
    handle.stop();
    armed = false;
    onReadable();
  };
  let armed = true;
  let open = true;
  const handle = koffi.node.poll(fd, EVENTS, onEvent);
  return {
    arm() {
      if (armed || !open) return;
      armed = true;
      handle.start(EVENTS, onEvent);
    },
    stop() {
      // koffi 3.3.4 crashes when a handle is touched after close().
      if (!open) return;
      open = false;
      handle.stop();
      handle.close();
    },
  };
}
