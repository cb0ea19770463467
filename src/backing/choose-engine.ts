/**
 * Which engine serves a backing file, and by which path its data goes, each with the reason that logs
 * and users see. Pure: what the machine and the file can do is an argument.
 */

export type Engine = 'io_uring' | 'native' | 'threads';
/** engine: everything through it; writes: quick buffered writes by calls; calls: reads as well. */
export type IoPath = 'engine' | 'writes' | 'calls' | 'memory';

export interface EngineFacts {
  readonly requested: 'auto' | Engine;
  readonly requestedPath: 'auto' | 'engine' | 'calls';
  /** Null, or why io_uring cannot be used, in words. */
  readonly uringRefusal: string | null;
  /** The same of Linux AIO; looked at only where io_uring is refused. */
  readonly aioRefusal: string | null;
  readonly direct: boolean;
  readonly inMemory: boolean;
  /** Cached reads complete in place, without a kernel thread. */
  readonly readsWithoutWaiting: boolean;
}

export interface EngineChoice {
  readonly engine: Engine;
  readonly engineReason: string;
  readonly path: IoPath;
  readonly pathReason: string;
}

/** A choice, or a sentence that says why the request cannot be met. */
export function chooseEngine(facts: EngineFacts): EngineChoice | string {
  const engine = engineFor(facts);
  if (typeof engine === 'string') return engine;
  return { ...engine, ...choosePath({ ...facts, engine: engine.engine }) };
}

function engineFor(facts: EngineFacts): Pick<EngineChoice, 'engine' | 'engineReason'> | string {
  const { requested, uringRefusal, aioRefusal, direct } = facts;
  if (requested === 'io_uring' && uringRefusal !== null) {
    return `--aio=io_uring: ${uringRefusal}`;
  }
  if (requested === 'native' && !direct) {
    return '--aio=native needs direct I/O, and this file is buffered (--aio=threads serves it)';
  }
  if (requested !== 'auto')
    return { engine: requested, engineReason: `asked for by --aio=${requested}` };
  if (uringRefusal === null) return { engine: 'io_uring', engineReason: 'the kernel has it' };
  if (direct && aioRefusal !== null)
    return { engine: 'threads', engineReason: `${uringRefusal}; ${aioRefusal}` };
  return direct
    ? { engine: 'native', engineReason: `${uringRefusal}; direct I/O is asynchronous here too` }
    : {
        engine: 'threads',
        engineReason: `${uringRefusal}; buffered I/O is not asynchronous without it`,
      };
}

export type PathFacts = Pick<
  EngineFacts,
  'requestedPath' | 'direct' | 'inMemory' | 'readsWithoutWaiting'
> & { readonly engine: Engine };

/** The path by which an engine's data go, as for the whole choice. */
export function choosePath(facts: PathFacts): Pick<EngineChoice, 'path' | 'pathReason'> {
  const { requestedPath, engine, direct, inMemory, readsWithoutWaiting } = facts;
  if (requestedPath === 'engine')
    return { path: 'engine', pathReason: 'asked for by --io-path=engine' };
  if (requestedPath === 'calls')
    return { path: 'calls', pathReason: 'asked for by --io-path=calls' };
  if (inMemory) {
    return {
      path: 'calls',
      pathReason: 'the file is in memory: a call is faster than a hand-over',
    };
  }
  if (direct) return { path: 'engine', pathReason: 'direct I/O waits for the device' };
  return {
    path: 'writes',
    pathReason: `writes into the page cache are calls while they are quick; reads ${howReadsGo(engine, readsWithoutWaiting)}`,
  };
}

function howReadsGo(engine: Engine, readsWithoutWaiting: boolean): string {
  if (engine !== 'io_uring') return 'go through the engine';
  return readsWithoutWaiting
    ? 'are served in place by the ring where they are cached'
    : 'go to kernel threads: the file system cannot try one without waiting';
}
