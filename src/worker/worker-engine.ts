/**
 * What a loop worker waits with and does its I/O through, for the engine that was chosen.
 */
import { IORING_ENTER_REGISTERED_RING } from '../../protocol/io-uring.ts';
import { iovec } from '../../protocol/linux.ts';
import { AioFile } from '../backing/aio-file.ts';
import { CalledFile } from '../backing/called-file.ts';
import { JobBoard } from '../backing/job-board.ts';
import { MemoryDisk } from '../backing/memory-disk.ts';
import { ThreadsFile } from '../backing/threads-file.ts';
import { UringFile } from '../backing/uring-file.ts';
import type { BackingPort } from '../loop/backing-port.ts';
import { AioContext } from '../sys/aio.ts';
import { createRing, enterRing, registerFiles, registerRingFd } from '../sys/io-uring.ts';
import { errnoName, FixedBytes } from '../sys/libc.ts';
import { copyMemory, discardMemory } from '../sys/mmap.ts';
import { UringQueue } from '../uring/uring-queue.ts';
import { EpollReactor } from './epoll-reactor.ts';
import type { MemoryArenas } from './memory-arenas.ts';
import type { WorkerBirth } from './messages.ts';
import { KEY_RESULTS, type Reactor } from './reactor.ts';
import { UringReactor } from './uring-reactor.ts';

export interface WorkerEngine {
  readonly reactor: Reactor;
  readonly backing: BackingPort;
}

/** Requests of all vrings in a turn fit; more in flight than CQEs only costs the kernel a list. */
const SQ_ENTRIES = 512;
const CQ_ENTRIES = 4096;
/** How long a worker sleeps between looks at a ring whose driver does not kick. */
const POLLED_RING_NAP_NS = 50_000;
/**
 * Operations in flight in the kernel, and in a first batch; more wait in the batch. Contexts share
 * fs.aio-max-nr (65536 by default) with the whole machine, so one does not take much of it.
 */
const AIO_DEPTH = 256;
const AIO_BATCH = 128;

/** Throws an Error whose message says why the engine cannot run. */
export function openEngine(
  birth: WorkerBirth,
  arenas: MemoryArenas,
  now: () => number,
): WorkerEngine {
  const { engine, path, fd } = birth.backing;
  const plain = engine === 'io_uring' ? openUring(birth) : openEpoll(birth);
  if (path === 'memory') return { ...plain, backing: openMemory(birth, arenas) };
  if (path === 'engine') return plain;
  const reads = path === 'calls';
  const iovecLength = (pointer: number) => arenas.u64At(pointer + iovec.at.iov_len);
  const options = { fd, engine: plain.backing, reads, iovecLength, now };
  return { ...plain, backing: new CalledFile(options) };
}

function openMemory(birth: WorkerBirth, arenas: MemoryArenas): BackingPort {
  const { memoryAddress, sizeBytes } = birth.backing;
  return new MemoryDisk(memoryAddress, sizeBytes, {
    copy: copyMemory,
    discard: discardMemory,
    iovecBase: (pointer) => arenas.u64At(pointer + iovec.at.iov_base),
    iovecLength: (pointer) => arenas.u64At(pointer + iovec.at.iov_len),
  });
}

function openUring(birth: WorkerBirth): WorkerEngine {
  const mapping = createRing(SQ_ENTRIES, CQ_ENTRIES);
  if (typeof mapping === 'number') {
    throw new Error(`io_uring is not available: ${errnoName(mapping)} from io_uring_setup`);
  }
  const { fd } = birth.backing;
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
  return { reactor: new UringReactor(queue, nap), backing: new UringFile(queue, 0) };
}

function openEpoll(birth: WorkerBirth): WorkerEngine {
  const { engine, fd, resultFd, board } = birth.backing;
  const reactor = new EpollReactor();
  reactor.watch(KEY_RESULTS, resultFd);
  if (engine === 'threads') {
    return { reactor, backing: new ThreadsFile(new JobBoard(board!)) };
  }
  const context = AioContext.create(AIO_DEPTH, AIO_BATCH, resultFd);
  if (typeof context === 'number') {
    throw new Error(`Linux AIO is not available: ${errnoName(context)} from io_setup`);
  }
  return { reactor, backing: new AioFile(context, fd) };
}
