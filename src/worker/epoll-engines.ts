/**
 * The engines of a loop worker where io_uring is forbidden: epoll waits, Linux AIO or I/O threads do the
 * I/O and signal `resultFd`.
 */

import { errnoName } from '../../protocol/errno.ts';
import { AioFile } from '../backing/aio-file.ts';
import { JobBoard } from '../backing/job-board.ts';
import { ThreadsFile } from '../backing/threads-file.ts';
import { AioContext } from '../sys/aio.ts';
import { EpollReactor } from './epoll-reactor.ts';
import { KEY_RESULTS } from './reactor.ts';
import type { PlainEngine } from './worker-engine.ts';

/**
 * Operations in flight in the kernel, and in a first batch; more wait in the batch. Contexts share
 * fs.aio-max-nr (65536 by default) with the whole machine, so one does not take much of it.
 */
const AIO_DEPTH = 256;
const AIO_BATCH = 128;

/** Operations name the file by its descriptor, whatever that stands for. */
const takeFileAnew = () => 0;

function waitingFor(resultFd: number): EpollReactor {
  const reactor = new EpollReactor();
  reactor.watch(KEY_RESULTS, resultFd);
  return reactor;
}

/** `board` is the job board of the I/O threads. */
export function openThreadsEngine(board: SharedArrayBuffer, resultFd: number): PlainEngine {
  const reactor = waitingFor(resultFd);
  const backing = new ThreadsFile(new JobBoard(board));
  return { reactor, backing, takeFileAnew, close: () => reactor.close() };
}

/** Throws an Error whose message says why there can be no context. */
export function openAioEngine(fd: number, resultFd: number): PlainEngine {
  const context = AioContext.create(AIO_DEPTH, AIO_BATCH, resultFd);
  if (typeof context === 'number') {
    throw new Error(`Linux AIO is not available: ${errnoName(context)} from io_setup`);
  }
  const reactor = waitingFor(resultFd);
  return {
    reactor,
    backing: new AioFile(context, fd),
    takeFileAnew,
    close() {
      context.close();
      reactor.close();
    },
  };
}
