/**
 * What a loop worker waits with and does its I/O through, for the engine that was chosen. Only that
 * engine's modules are loaded: the others would take half a MiB in every worker of the process.
 */
import { iovec } from '../../protocol/linux.ts';
import type { BackingPort, IoPlace } from '../loop/backing-port.ts';
import type { ClockUs } from '../loop/clock.ts';
import { copyMemory, discardMemory } from '../sys/mmap.ts';
import type { MemoryArenas } from './memory-arenas.ts';
import type { WorkerBirth } from './messages.ts';
import type { Reactor } from './reactor.ts';

export interface WorkerEngine {
  readonly reactor: Reactor;
  readonly backing: BackingPort;
  /** Gives back what the kernel holds for it, the backing file among it; nothing may be in flight. */
  readonly close: () => void;
}

/** Rejects with an Error whose message says why the engine cannot run. */
export async function openEngine(
  birth: WorkerBirth,
  arenas: MemoryArenas,
  now: ClockUs,
): Promise<WorkerEngine> {
  const { engine, path, fd } = birth.backing;
  const plain = engine === 'io_uring' ? await openUring(birth) : await openEpoll(birth);
  if (path === 'memory') return { ...plain, backing: await openMemory(birth, arenas) };
  if (path === 'engine') return plain;
  const { CalledFile } = await import('../backing/called-file.ts');
  const reads = path === 'calls';
  const iovecBytes = (place: IoPlace, count: number) => arenas.iovecBytes(place, count);
  const options = { fd, engine: plain.backing, reads, iovecBytes, now };
  return { ...plain, backing: new CalledFile(options) };
}

async function openUring({ backing }: WorkerBirth): Promise<WorkerEngine> {
  const { openUringEngine } = await import('./uring-engine.ts');
  return openUringEngine(backing.fd);
}

async function openEpoll({ backing }: WorkerBirth): Promise<WorkerEngine> {
  const { openAioEngine, openThreadsEngine } = await import('./epoll-engines.ts');
  const { engine, fd, resultFd, board } = backing;
  return engine === 'threads' ? openThreadsEngine(board!, resultFd) : openAioEngine(fd, resultFd);
}

async function openMemory(birth: WorkerBirth, arenas: MemoryArenas): Promise<BackingPort> {
  const { MemoryDisk } = await import('../backing/memory-disk.ts');
  const { memoryAddress, sizeBytes } = birth.backing;
  return new MemoryDisk(memoryAddress, sizeBytes, {
    copy: copyMemory,
    discard: discardMemory,
    iovecBase: (pointer) => arenas.u64At(pointer + iovec.at.iov_base),
    iovecLength: (pointer) => arenas.u64At(pointer + iovec.at.iov_len),
  });
}
