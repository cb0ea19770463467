/**
 * What a loop worker waits with and does its I/O through, for the engine that was chosen. Only that
 * engine's modules are loaded: the others would take half a MiB in every worker of the process.
 */
import { createRequire } from 'node:module';
import { iovec } from '../../protocol/linux.ts';
import type { CalledFile } from '../backing/called-file.ts';
import type { IoPath } from '../backing/choose-engine.ts';
import type { BackingPort, IoPlace } from '../loop/backing-port.ts';
import type { ClockUs } from '../loop/clock.ts';
import { copyMemory, discardMemory } from '../sys/mmap.ts';
import type { MemoryArenas } from './memory-arenas.ts';
import type { WorkerBirth } from './messages.ts';
import type { Reactor } from './reactor.ts';

/** An engine proper, before calls or memory stand in front of it. */
export interface PlainEngine {
  readonly reactor: Reactor;
  readonly backing: BackingPort;
  /** Gives back what the kernel holds for it, the backing file among it; nothing may be in flight. */
  readonly close: () => void;
  /** The file's descriptor stands for another file now. 0, or -errno. */
  readonly takeFileAnew: () => number;
}

export interface WorkerEngine extends PlainEngine {
  /** The port for another path, of the same file; nothing is in flight. */
  readonly alongPath: (path: IoPath) => BackingPort;
}

/** Rejects with an Error whose message says why the engine cannot run. */
export async function openEngine(
  birth: WorkerBirth,
  arenas: MemoryArenas,
  now: ClockUs,
): Promise<WorkerEngine> {
  const { engine, path, fd } = birth.backing;
  const plain = engine === 'io_uring' ? await openUring(birth) : await openEpoll(birth);
  if (path === 'memory') {
    const backing = await openMemory(birth, arenas);
    return { ...plain, backing, alongPath: () => backing };
  }
  let called: CalledFile | null = null;
  const alongPath = (wanted: IoPath) => {
    if (wanted === 'engine') return plain.backing;
    const reads = wanted === 'calls';
    const iovecBytes = (place: IoPlace, count: number) => arenas.iovecBytes(place, count);
    const options = { fd, engine: plain.backing, reads, iovecBytes, now };
    called ??= new (loadCalledFile())(options);
    called.reads = reads;
    return called;
  };
  return { ...plain, backing: alongPath(path), alongPath };
}

/** At once: a worker that runs never returns to Node's event loop, which carries out `import`. */
function loadCalledFile(): typeof CalledFile {
  const suffix = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const load = createRequire(import.meta.url);
  const module = load(`../backing/called-file${suffix}`) as { CalledFile: typeof CalledFile };
  return module.CalledFile;
}

async function openUring({ backing }: WorkerBirth): Promise<PlainEngine> {
  const { openUringEngine } = await import('./uring-engine.ts');
  return openUringEngine(backing.fd);
}

async function openEpoll({ backing }: WorkerBirth): Promise<PlainEngine> {
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
