/**
 * Makes a started vring one that is served, and ends that: its ring is looked up in guest memory, or through
 * the IOTLB, and gets a loop queue with its commands and its dirty log. Called between turns, while nothing of the
 * vring is in flight; where it stands meanwhile is kept in the StartedVring.
 */
import { COUNT_VIOLATIONS, COUNTERS_PER_VRING } from '../loop/counters.ts';
import type { LoopCommands } from '../loop/loop-commands.ts';
import type { LoopDevice } from '../loop/loop-device.ts';
import { LoopQueue } from '../loop/loop-queue.ts';
import type { LoopState } from '../loop/loop-state.ts';
import type { DirtyLog } from '../memory/dirty-log.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { RING_UNMAPPED } from '../virtqueue/ring-violation.ts';
import { activateVring } from '../virtqueue/vring-config.ts';
import type { LogStart } from './messages.ts';
import { figuresOf } from './shared-figures.ts';
import type { StartedVring } from './started-vring.ts';
import { VringCommands } from './vring-commands.ts';
import { type AskForPages, WorkerIotlb } from './worker-iotlb.ts';
import { WorkerLog } from './worker-log.ts';

export interface VringActivationParts {
  readonly memory: GuestMemory;
  readonly device: LoopDevice;
  readonly state: LoopState;
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
  readonly openLog: (log: LogStart) => DirtyLog;
  readonly miss: AskForPages;
  /** The commands of a vring are to be seen there from now on. */
  readonly showCommands: (vring: number, commands: LoopCommands) => void;
}

export class VringActivation {
  readonly iotlb: WorkerIotlb;
  /** All vrings stand still (disk-freeze.ts): none is activated. */
  paused = false;
  readonly #parts: VringActivationParts;
  readonly #commands: VringCommands;
  /**
   * The queues that ended last, one of each kind of ring, kept because V8 throws compiled code away with
   * the last object that it was compiled for, and compiles it worse when the next front-end's objects
   * come: a third of the speed.
   */
  readonly #lastEnded: LoopQueue[] = [];
  readonly #log: WorkerLog;

  constructor(parts: VringActivationParts) {
    this.#parts = parts;
    this.#commands = new VringCommands(parts.state.hostMemory, parts.showCommands);
    this.#log = new WorkerLog(parts.memory, parts.openLog);
    this.iotlb = new WorkerIotlb(parts.memory, parts.miss);
  }

  /** null also when the ring has to wait: for translations, which are asked for then, or for the end of a pause. */
  activate(started: StartedVring): string | null {
    if (this.paused) return null;
    const { memory, device, state, counters, latencies } = this.#parts;
    const { start, base, recover } = started;
    const { index, size, addresses, translated } = start;
    // Until it is served it asks for nothing: it may be another process's yet.
    if (translated && !start.enabled) return null;
    const table = translated ? this.iotlb.tableFor(start) : memory;
    if (table === null) return null;
    const inflight = started.inflight && { ...started.inflight, recover };
    const vring = activateVring(table, { size, addresses }, { ...start, base, inflight });
    if (typeof vring === 'string') return vring;
    started.recover = false;
    if (started.broken !== 0) vring.break(started.broken);
    started.queue = new LoopQueue(state, {
      index,
      ...(translated ? this.iotlb.wrap(index, vring) : { vring }),
      memory: table,
      commands: this.#commands.of(index, size),
      ...figuresOf(counters, latencies, index),
      enabled: start.enabled,
      callFd: start.callFd,
      resume: (tag) => device.resumeBounce(tag),
    });
    device.attach(started.queue);
    this.applyLog(started);
    // What making the ring wrote to it.
    started.queue.log?.wroteRing();
    return null;
  }

  activateOrBreak(vring: StartedVring): void {
    vring.unmapped = false;
    if (vring.broken !== 0) return;
    if (this.activate(vring) !== null) this.break(vring, RING_UNMAPPED);
    else vring.queue?.takeUp();
  }

  deactivate(vring: StartedVring): void {
    if (vring.queue === null) return;
    vring.queue.publish();
    vring.base = vring.queue.vring.base;
    vring.broken = vring.queue.vring.broken;
    this.#parts.device.detach(vring.start.index);
    this.iotlb.unwrap(vring.start.index);
    const { packed, inOrder } = vring.start;
    this.#lastEnded[Number(packed) + 2 * Number(inOrder)] = vring.queue;
    vring.queue = null;
  }

  /** The front-end has gone, and no vring is left. */
  release(): void {
    this.#commands.release();
  }

  /** The driver has violated the protocol: the ring is not looked at again until it is started anew. */
  break(vring: StartedVring, violation: number): void {
    vring.broken = violation;
    vring.queue?.vring.break(violation);
    const { index } = vring.start;
    this.#parts.counters[index * COUNTERS_PER_VRING + COUNT_VIOLATIONS]!++;
    this.#parts.state.figures.countViolation(violation);
    this.#parts.state.events.onViolation(index, violation);
  }

  setLog(log: LogStart | null, vrings: Iterable<StartedVring>): null {
    this.#log.set(log);
    for (const vring of vrings) this.applyLog(vring);
    return null;
  }

  applyLog({ queue, start }: StartedVring): void {
    if (queue !== null) this.#log.apply(queue, start, this.iotlb.table);
  }
}
