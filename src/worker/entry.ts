/**
 * A loop worker thread's start: makes its ring, puts backing file, loop device and vrings together, and
 * carries out what the main thread asks. Nothing here is per request but the event callbacks.
 */
import { flushCompileCache } from 'node:module';
// The global of this name is a getter that costs more than the clock.
import { performance } from 'node:perf_hooks';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { errnoName } from '../../protocol/errno.ts';
import { SECTOR_SIZE, VIRTIO_BLK_ID_BYTES } from '../../protocol/virtio-blk.ts';
import { opName } from '../blk/op-names.ts';
import { LineBudget } from '../log/line-budget.ts';
import type { AttachedTransfer } from '../loop/attached-transfer.ts';
import type { BackingPort } from '../loop/backing-port.ts';
import { BounceBuffers } from '../loop/bounce-buffers.ts';
import { CLOCK_US_MASK } from '../loop/clock.ts';
import { DiskFigures } from '../loop/disk-figures.ts';
import { LoopDevice } from '../loop/loop-device.ts';
import { type LoopState, SHARED_END, ZERO_BYTES } from '../loop/loop-state.ts';
import { DirtyLog } from '../memory/dirty-log.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { drainEventfd, signalEventfd } from '../sys/eventfd.ts';
import { viewMemory } from '../sys/mmap.ts';
import { pinToCpu, yieldCpu } from '../sys/scheduling.ts';
import { ownThreadId } from '../sys/thread-state.ts';
import { ringViolations } from '../virtqueue/ring-violation.ts';
import { TranslatedChain } from '../virtqueue/translated-chain.ts';
import { switchBacking } from './backing-switch.ts';
import { LoopWorker } from './loop-worker.ts';
import { MemoryArenas } from './memory-arenas.ts';
import type {
  LogStart,
  TransferIoctl,
  WorkerAnswer,
  WorkerBirth,
  WorkerMessage,
  WorkerRequest,
} from './messages.ts';
import { PollWindow } from './poll-window.ts';
import { collectStartGarbage } from './start-garbage.ts';
import { transferAnswer } from './transfer-answer.ts';
import { openEngine } from './worker-engine.ts';
import { WorkerVrings } from './worker-vrings.ts';

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

const hostMemory = new MemoryArenas();

/** A guest can cause any number of failures: of a kind the main thread is told one in this time, and all are counted. */
const FAILURE_LIMITS = { burst: 1, refillMs: 30_000, kinds: 64 };

function limited(report: (operation: string, errno: number, offsetBytes: number) => void) {
  const budget = new LineBudget<number>(FAILURE_LIMITS, -1);
  return (op: number, errno: number, offsetBytes: number) => {
    const kind = op * 4096 + errno;
    if (budget.take(kind, performance.now())) report(opName(op), errno, offsetBytes);
  };
}

function openFigures({ figures, limits }: WorkerBirth): DiskFigures {
  // performance.now() counts from this thread's start.
  const startMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  const readClock = (ms: Float64Array) => {
    ms[0] = performance.now() + startMs;
  };
  const sizeBytes = limits.capacitySectors * SECTOR_SIZE;
  return new DiskFigures(readClock, sizeBytes, figures.blockMap, figures.failures);
}

function loopState(
  birth: WorkerBirth,
  backing: BackingPort,
  { bounce, transfer }: Pick<LoopState, 'bounce' | 'transfer'>,
  onViolation: (vring: number) => void,
): LoopState {
  const serial = hostMemory.allocate(VIRTIO_BLK_ID_BYTES);
  const serialBytes = Buffer.from(birth.serial, 'latin1').subarray(0, VIRTIO_BLK_ID_BYTES);
  new Uint8Array(serial.buffer).set(serialBytes);
  return {
    backing,
    hostMemory,
    bounce,
    transfer,
    figures: openFigures(birth),
    events: {
      call: signalEventfd,
      onViolation(vring, violation) {
        onViolation(vring);
        post({ kind: 'violation', vring, name: ringViolations.nameOf(violation) });
      },
      onMiss(vring, chain) {
        const pages = chain instanceof TranslatedChain ? chain.missed : [];
        post({ kind: 'miss', vring, pages });
      },
      onIoError: limited((operation, errno, offsetBytes) =>
        post({ kind: 'ioError', operation, errno, offsetBytes }),
      ),
    },
    shared: new Int32Array(birth.shared),
    zeroAddress: hostMemory.allocate(ZERO_BYTES).address,
    serialAddress: serial.address,
    fileOffsetBytes: birth.backing.fileOffsetBytes,
    direct: birth.backing.direct,
    memoryAlignBytes: birth.backing.memoryAlignBytes,
    offsetAlignBytes: birth.backing.offsetAlignBytes,
    writeThrough: true,
    limits: birth.limits,
  };
}

/** The bounce buffers, and what transforms data in them. */
async function openBounce(birth: WorkerBirth): Promise<Pick<LoopState, 'bounce' | 'transfer'>> {
  const bounce = new BounceBuffers(hostMemory);
  if (birth.transfer === null) return { bounce, transfer: null };
  const { attachTransfer } = await import('../transfer/open-transfer.ts');
  const transfer = await attachTransfer(birth.transfer, bounce, (reason) =>
    post({ kind: 'transferFailed', reason }),
  );
  return { bounce, transfer };
}

function openLog({ address, sizeBytes, eventFd }: LogStart, memory: GuestMemory): DirtyLog {
  return new DirtyLog(new Uint8Array(viewMemory(address, sizeBytes)), memory, {
    onMarked() {
      if (eventFd >= 0) signalEventfd(eventFd);
    },
    onOutside: (guestAddress) => post({ kind: 'unlogged', guestAddress }),
  });
}

/** Makes everything that the thread needs; the worker that comes back only has to run. */
async function prepare(
  birth: WorkerBirth,
): Promise<{ worker: LoopWorker; transfer: AttachedTransfer | null; close: () => void }> {
  const pinned = birth.cpu < 0 ? 0 : pinToCpu(birth.cpu);
  if (pinned < 0) throw new Error(`cannot run on CPU ${birth.cpu}: ${errnoName(pinned)}`);
  const now = () => (performance.now() * 1000) & CLOCK_US_MASK;
  const engine = await openEngine(birth, hostMemory, now);
  const { reactor, backing, close } = engine;
  const bounced = await openBounce(birth);
  const state = loopState(birth, backing, bounced, (vring) => vrings.signalError(vring));
  const device = new LoopDevice(birth.queueCount, state.figures.clock);
  const memory = new GuestMemory(birth.memorySlotCount, viewMemory);
  const answer = (id: number, value: WorkerAnswer) => post({ kind: 'answer', id, answer: value });

  const worker: LoopWorker = new LoopWorker({
    reactor,
    device,
    backing,
    window: new PollWindow(birth.pollUs),
    wakeFd: birth.wakeFd,
    port: {
      onControl() {
        drainEventfd(birth.wakeFd);
        if (Atomics.load(state.shared, SHARED_END) !== 0) worker.exit();
        for (;;) {
          const received = receiveMessageOnPort(parentPort!) as
            | { message: { id: number; request: WorkerRequest | TransferIoctl } }
            | undefined;
          if (received === undefined) return;
          const { id, request } = received.message;
          if (request.kind === 'switchBacking') {
            answer(id, switchBacking({ state, worker, engine }, request.use, request.anew));
          } else if (request.kind === 'transferIoctl') {
            answer(id, transferAnswer(state.transfer, request));
          } else vrings.carryOut({ id, request });
        }
      },
      onTurn: () => vrings.carryOutDrained(),
      onKick: (vring) => vrings.countKick(vring),
      yieldCpu,
      now,
    },
  });
  const vrings = new WorkerVrings({
    memory,
    device,
    state,
    worker,
    counters: new Float64Array(birth.figures.counters),
    latencies: new Float64Array(birth.figures.latencies),
    answer,
    openLog: (log) => openLog(log, memory),
    miss: (vring, pages) => post({ kind: 'miss', vring, pages }),
    showCommands: (vring, { size, memory }) => post({ kind: 'board', vring, size, memory }),
  });
  return { worker, transfer: state.transfer, close };
}

try {
  const { worker, transfer, close } = await prepare(workerData as WorkerBirth);
  await collectStartGarbage();
  // Kept now, not only at a clean end: whoever kills vloop starts it as fast the next time.
  flushCompileCache();
  post({ kind: 'ready', threadId: ownThreadId() });
  worker.run();
  transfer?.release();
  close();
} catch (error) {
  post({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
}
