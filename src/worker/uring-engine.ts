/**
 * The io_uring engine of a loop worker: one ring, of the calling thread, that is its reactor and does the
 * I/O of its backing file.
 */

import { errnoName } from '../../protocol/errno.ts';
import { IORING_ENTER_REGISTERED_RING } from '../../protocol/io-uring.ts';
import { UringFile } from '../backing/uring-file.ts';
import { closeFd } from '../sys/descriptor.ts';
import {
  createRing,
  enterRing,
  registerFiles,
  registerRingFd,
  updateRegisteredFile,
} from '../sys/io-uring.ts';
import { FixedBytes } from '../sys/libc.ts';
import { UringQueue } from '../uring/uring-queue.ts';
import { UringReactor } from './uring-reactor.ts';
import type { PlainEngine } from './worker-engine.ts';

/** Requests of all vrings in a turn fit; more in flight than CQEs only costs the kernel a list. */
const SQ_ENTRIES = 512;
const CQ_ENTRIES = 4096;
/** How long a worker sleeps between looks at a ring whose driver does not kick. */
const POLLED_RING_NAP_NS = 50_000;

/** `fd` is the backing file's, or -1. Throws an Error whose message says why there can be no ring. */
export function openUringEngine(fd: number): PlainEngine {
  const mapping = createRing(SQ_ENTRIES, CQ_ENTRIES);
  if (typeof mapping === 'number') {
    throw new Error(`io_uring is not available: ${errnoName(mapping)} from io_uring_setup`);
  }
  const registered = fd < 0 ? 0 : registerFiles(mapping.fd, [fd]);
  if (registered < 0) throw new Error(`cannot register the file: ${errnoName(registered)}`);
  // A registered ring fd saves the kernel a look-up each turn; kernels before 5.18 have none.
  const index = registerRingFd(mapping.fd);
  const ring = index < 0 ? mapping.fd : index;
  const always = index < 0 ? 0 : IORING_ENTER_REGISTERED_RING;
  const queue = new UringQueue(mapping, (toSubmit, minComplete, flags) =>
    enterRing(ring, toSubmit, minComplete, flags | always),
  );
  const nap = new FixedBytes(16);
  nap.view.setBigInt64(8, BigInt(POLLED_RING_NAP_NS), true);
  return {
    reactor: new UringReactor(queue, nap),
    backing: new UringFile(queue, 0),
    takeFileAnew: () => updateRegisteredFile(mapping.fd, 0, fd),
    // The ring holds the file, and with it the lock, for as long as it is open.
    close() {
      mapping.unmap();
      closeFd(mapping.fd);
    },
  };
}
