/**
 * Readiness of any file descriptor on Node's event loop, without a parked thread (koffi's uv_poll).
 */
import koffi from 'koffi';

export interface FdWatch {
  /** Ends the watch; the fd may be closed after. Calling it again does nothing. */
  stop(): void;
}

/** Calls `onReadable` whenever `fd` is readable or its peer has hung up. */
export function watchReadable(fd: number, onReadable: () => void): FdWatch {
  const handle = koffi.node.poll(fd, { readable: true, disconnect: true }, onReadable);
  let active = true;
  return {
    stop() {
      // koffi 3.3.4 crashes when a handle is touched after close().
      if (!active) return;
      active = false;
      handle.stop();
      handle.close();
    },
  };
}
