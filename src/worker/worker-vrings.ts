/**
 * The vrings of one worker, as the main thread sees them: starts and stops them, changes their fds and
 * the memory under them. A stop and a removal of memory wait until no command in flight is left that
 * could touch what goes away; the worker keeps turning meanwhile.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { COUNT_KICKS, COUNT_VIOLATIONS, COUNTERS_PER_VRING } from '../loop/counters.ts';
import type { LoopCommands } from '../loop/loop-commands.ts';
import type { LoopDevice } from '../loop/loop-device.ts';
import { LoopQueue } from '../loop/loop-queue.ts';
import type { LoopState } from '../loop/loop-state.ts';
import type { DirtyLog } from '../memory/dirty-log.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { signalEventfd } from '../sys/eventfd.ts';
import { viewMemory } from '../sys/mmap.ts';
import { viewInflight } from '../virtqueue/inflight-region.ts';
import { CHAIN_ADDRESS_UNMAPPED, RING_UNMAPPED } from '../virtqueue/ring-violation.ts';
import { activateVring } from '../virtqueue/vring-config.ts';
import type { InflightPlace } from './inflight-memory.ts';
import type { LoopWorker } from './loop-worker.ts';
import {
  changesAll,
  type LogStart,
  type NumberedVringsRequest,
  unseen,
  type VringStart,
  type VringsRequest,
  type WorkerAnswer,
} from './messages.ts';
import { figuresOf } from './shared-figures.ts';
import { isUnseen, type StartedVring } from './started-vring.ts';
import { VringCommands } from './vring-commands.ts';
import { inspectVrings } from './vring-inspection.ts';
import { type AskForPages, type IovaRange, WorkerIotlb } from './worker-iotlb.ts';
import { WorkerLog } from './worker-log.ts';

export interface WorkerVringsParts {
  readonly memory: GuestMemory;
  readonly device: LoopDevice;
  readonly state: LoopState;
  readonly worker: LoopWorker;
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
  readonly answer: (id: number, answer: WorkerAnswer) => void;
  readonly openLog: (log: LogStart) => DirtyLog;
  readonly miss: AskForPages;
  /** The commands of a vring are to be seen there from now on. */
  readonly showCommands: (vring: number, commands: LoopCommands) => void;
}

export class WorkerVrings {
  readonly #parts: WorkerVringsParts;
  readonly #vrings = new Map<number, StartedVring>();
  readonly #commands: VringCommands;
  /**
   * The queues that ended last, one of each kind of ring, kept because V8 throws compiled code away with
   * the last object that it was compiled for, and compiles it worse when the next front-end's objects
   * come: a third of the speed.
   */
  readonly #lastEnded: LoopQueue[] = [];
  readonly #log: WorkerLog;
  /** All vrings stand still, for another process to take them over. */
  #paused = false;
  readonly #iotlb: WorkerIotlb;
  /** Requests that wait for commands in flight to end, oldest first. */
  #waiting: NumberedVringsRequest[] = [];

  constructor(parts: WorkerVringsParts) {
    this.#parts = parts;
    this.#commands = new VringCommands(parts.state.hostMemory, parts.showCommands);
    this.#log = new WorkerLog(parts.memory, parts.openLog);
    this.#iotlb = new WorkerIotlb(parts.memory, parts.miss);
  }

  countKick(vring: number): void {
    this.#parts.counters[vring * COUNTERS_PER_VRING + COUNT_KICKS]!++;
    if (this.#iotlb.table !== null) this.#kickUnmapped(vring);
  }

  /** Carries a request out, or makes it wait. */
  carryOut(numbered: NumberedVringsRequest): void {
    const { request } = numbered;
    if (request.kind === 'resume') {
      this.#parts.answer(numbered.id, this.#resume());
      return;
    }
    if (request.kind === 'inspect') {
      this.#inspect(numbered.id);
      return;
    }
    if (request.kind === 'stopVring') {
      const vring = this.#vrings.get(request.index);
      if (vring?.queue) vring.queue.stopping = true;
      // Without a region there is nowhere to leave what is in flight.
      if (request.suspend && vring?.inflight) vring.queue?.suspend();
    } else if (changesAll(request)) {
      for (const { queue } of this.#vrings.values()) if (queue) queue.stopping = true;
    } else if (request.kind === 'invalidateIotlb') {
      this.#iotlb.invalidate(request);
      for (const { queue } of this.#ringsIn(request)) if (queue) queue.stopping = true;
    }
    this.#waiting.push(numbered);
    this.carryOutDrained();
  }

  /** Carries out the requests whose wait is over, in order. */
  carryOutDrained(): void {
    while (this.#waiting.length > 0 && this.#isDrained(this.#waiting[0]!.request)) {
      const { id, request } = this.#waiting.shift()!;
      this.#parts.answer(id, this.#apply(request));
    }
    this.#parts.worker.turnsWanted = this.#waiting.length > 0;
  }

  #isDrained(request: VringsRequest): boolean {
    if (request.kind === 'stopVring') {
      return this.#vrings.get(request.index)?.queue?.quiet ?? true;
    }
    if (request.kind === 'invalidateIotlb') {
      const ringsAreQuiet = this.#ringsIn(request).every(({ queue }) => queue?.quiet ?? true);
      return ringsAreQuiet && !this.#iotlb.isUsed(request);
    }
    if (!changesAll(request)) return true;
    return this.#parts.device.running.every((queue) => queue.vring.inFlightCount === 0);
  }

  #apply(request: VringsRequest): WorkerAnswer {
    switch (request.kind) {
      case 'startVring':
        return this.#startVring(request.vring, request.inflight);
      case 'stopVring':
        return this.#stopVring(request.index);
      case 'changeRegions':
        return this.#changeRegions(request);
      case 'setEnabled': {
        const vring = this.#vrings.get(request.index);
        if (vring === undefined) return null;
        vring.start = { ...vring.start, enabled: request.enabled };
        if (vring.queue) vring.queue.enabled = request.enabled;
        else if (request.enabled && vring.start.translated) this.#activateOrBreak(vring);
        return null;
      }
      case 'setFd':
        return this.#setFd(request.index, request.which, request.fd);
      case 'setVringLog':
        return this.#setVringLog(request.index, request.guestAddress);
      case 'setLog':
        return this.#setLog(request.log);
      case 'pause':
        return this.#pause();
      case 'resume':
        return this.#resume();
      case 'setMode':
        this.#parts.state.writeThrough = request.writeThrough;
        this.#parts.state.limits = request.limits;
        this.#parts.state.figures.map.resize(request.limits.capacitySectors * SECTOR_SIZE);
        return null;
      case 'updateIotlb':
        this.#iotlb.update(request.translation);
        return null;
      case 'invalidateIotlb':
        return this.#invalidated(request);
      case 'retryVring':
        return this.#retryVring(request.index, request.denied);
      case 'setTrace':
        this.#parts.state.figures.setTrace(request.memory, request.ops);
        return null;
      case 'exit':
        this.#parts.worker.exit();
        return null;
      case 'inspect':
        return null;
    }
  }

  #startVring(start: VringStart, place: InflightPlace | null): WorkerAnswer {
    const inflight = place && {
      views: viewInflight(viewMemory(place.address, place.sizeBytes), 0, place.sizeBytes),
      entryCount: place.entryCount,
    };
    const { base, recover, broken = 0 } = start;
    const flags = { broken, recover, unmapped: false };
    const vring: StartedVring = { start, queue: null, base, ...flags, inflight };
    const failure = this.#activate(vring);
    if (failure !== null) return failure;
    this.#vrings.set(start.index, vring);
    if (!this.#paused) this.#watchKick(start);
    return vring.queue?.takeUp() ?? 0;
  }

  /** null also when the ring has to wait: for translations, which are asked for then, or for the end of a pause. */
  #activate(started: StartedVring): string | null {
    if (this.#paused) return null;
    const { memory, device, state, counters, latencies } = this.#parts;
    const { start, base, recover } = started;
    const { index, size, addresses, translated } = start;
    // Until it is served it asks for nothing: it may be another process's yet.
    if (translated && !start.enabled) return null;
    const table = translated ? this.#iotlb.tableFor(start) : memory;
    if (table === null) return null;
    const inflight = started.inflight && { ...started.inflight, recover };
    const vring = activateVring(table, { size, addresses }, { ...start, base, inflight });
    if (typeof vring === 'string') return vring;
    started.recover = false;
    if (started.broken !== 0) vring.break(started.broken);
    started.queue = new LoopQueue(state, {
      index,
      ...(translated ? this.#iotlb.wrap(index, vring) : { vring }),
      memory: table,
      commands: this.#commands.of(index, size),
      ...figuresOf(counters, latencies, index),
      enabled: start.enabled,
      callFd: start.callFd,
      resume: (tag) => device.resumeBounce(tag),
    });
    device.attach(started.queue);
    this.#applyLog(started);
    // What making the ring wrote to it.
    started.queue.log?.wroteRing();
    return null;
  }

  #setLog(log: LogStart | null): null {
    this.#log.set(log);
    for (const vring of this.#vrings.values()) this.#applyLog(vring);
    return null;
  }

  #setVringLog(index: number, logGuestAddress: number): null {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return null;
    vring.start = { ...vring.start, logGuestAddress };
    this.#applyLog(vring);
    return null;
  }

  #applyLog({ queue, start }: StartedVring): void {
    if (queue !== null) this.#log.apply(queue, start, this.#iotlb.table);
  }

  #deactivate(vring: StartedVring): void {
    if (vring.queue === null) return;
    vring.queue.publish();
    vring.base = vring.queue.vring.base;
    vring.broken = vring.queue.vring.broken;
    this.#parts.device.detach(vring.start.index);
    this.#iotlb.unwrap(vring.start.index);
    const { packed, inOrder } = vring.start;
    this.#lastEnded[Number(packed) + 2 * Number(inOrder)] = vring.queue;
    vring.queue = null;
  }

  #stopVring(index: number): WorkerAnswer {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return `vring ${index} is not running`;
    this.#deactivate(vring);
    if (!this.#paused) this.#unwatchKick(vring.start);
    this.#vrings.delete(index);
    return isUnseen(vring) ? unseen(vring.base) : vring.base;
  }

  #watchKick({ index, kickFd }: VringStart): void {
    if (kickFd >= 0) this.#parts.worker.watchKick(index, kickFd);
    else this.#parts.worker.polledVrings++;
  }

  #unwatchKick({ index, kickFd }: VringStart): void {
    if (kickFd >= 0) this.#parts.worker.unwatchKick(index);
    else this.#parts.worker.polledVrings--;
  }

  #pause(): WorkerAnswer {
    const vrings = [...this.#vrings.values()];
    if (vrings.some(isUnseen)) return 'a vring waits for translations';
    for (const vring of this.#paused ? [] : vrings) {
      this.#deactivate(vring);
      this.#unwatchKick(vring.start);
    }
    this.#paused = true;
    return vrings.map(({ start, base, broken }) => ({ index: start.index, base, broken }));
  }

  #resume(): null {
    const waits = this.#waiting.findIndex(({ request }) => request.kind === 'pause');
    if (waits >= 0) {
      const [{ id }] = this.#waiting.splice(waits, 1) as [NumberedVringsRequest];
      for (const { queue } of this.#vrings.values()) if (queue) queue.stopping = false;
      this.#parts.answer(id, 'requests in flight have not ended');
      this.#parts.worker.turnsWanted = this.#waiting.length > 0;
    }
    if (!this.#paused) return null;
    this.#paused = false;
    for (const vring of this.#vrings.values()) {
      this.#watchKick(vring.start);
      // Also one that was started meanwhile, with what its in-flight region has recorded.
      if (this.#activate(vring) === null) vring.queue?.takeUp();
    }
    return null;
  }

  /** Rings are looked up again afterwards: one whose memory is away stands still until it is back. */
  #changeRegions(request: Extract<VringsRequest, { kind: 'changeRegions' }>): WorkerAnswer {
    const removing = request.removeSlots.length > 0;
    if (removing) {
      for (const vring of this.#vrings.values()) this.#deactivate(vring);
      this.#iotlb.dropRegions(request.removeSlots);
      this.#parts.memory.remove(request.removeSlots);
    }
    this.#parts.memory.add(request.add);
    for (const vring of this.#vrings.values()) {
      if (vring.queue === null) this.#activate(vring);
    }
    if (removing && this.#vrings.size === 0) this.#commands.release();
    return null;
  }

  // ── translations ─────────────────────────────────────────────────────────────────────────────

  /** The vrings that lie themselves in what is invalidated. */
  #ringsIn(range: IovaRange): StartedVring[] {
    return [...this.#vrings.values()].filter(({ start }) => this.#iotlb.holdsRing(range, start));
  }

  /** Nothing uses it any more: rings that lay there ask where they are now. */
  #invalidated(range: IovaRange): null {
    for (const vring of this.#ringsIn(range)) {
      this.#deactivate(vring);
      this.#activateOrBreak(vring);
    }
    if (this.#vrings.size === 0) this.#iotlb.forget();
    return null;
  }

  #retryVring(index: number, denied: boolean): null {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return null;
    const { queue } = vring;
    if (denied && queue) this.#breakVring(vring, CHAIN_ADDRESS_UNMAPPED);
    // A guest that shuts down takes the translations of its rings away: no violation, and none of its
    // interest. One that goes on kicks.
    else if (denied) vring.unmapped = true;
    else if (queue) {
      queue.waiting = false;
      queue.takeUp();
    } else this.#activateOrBreak(vring);
    return null;
  }

  /** A kick asks for a ring again whose translations were denied. */
  #kickUnmapped(index: number): void {
    const vring = this.#vrings.get(index);
    if (vring?.unmapped) this.#activateOrBreak(vring);
  }

  #activateOrBreak(vring: StartedVring): void {
    vring.unmapped = false;
    if (vring.broken !== 0) return;
    if (this.#activate(vring) !== null) this.#breakVring(vring, RING_UNMAPPED);
    else vring.queue?.takeUp();
  }

  #breakVring(vring: StartedVring, violation: number): void {
    vring.broken = violation;
    vring.queue?.vring.break(violation);
    const { index } = vring.start;
    this.#parts.counters[index * COUNTERS_PER_VRING + COUNT_VIOLATIONS]!++;
    this.#parts.state.figures.countViolation(violation);
    this.#parts.state.events.onViolation(index, violation);
  }

  #setFd(index: number, which: 'kick' | 'call' | 'err', fd: number): WorkerAnswer {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return null;
    if (which === 'kick') {
      if (!this.#paused) this.#unwatchKick(vring.start);
      vring.start = { ...vring.start, kickFd: fd };
      if (!this.#paused) this.#watchKick(vring.start);
    } else if (which === 'call') {
      vring.start = { ...vring.start, callFd: fd };
      if (vring.queue) vring.queue.callFd = fd;
      // The driver may have missed a call on the old fd (libvhost-user: "I/O hang after reconnecting").
      if (fd >= 0) signalEventfd(fd);
    } else {
      vring.start = { ...vring.start, errFd: fd };
      if (fd >= 0 && vring.queue !== null && vring.queue.vring.broken !== 0) signalEventfd(fd);
    }
    return null;
  }

  #inspect(id: number): void {
    const { answer, state } = this.#parts;
    answer(id, inspectVrings(this.#vrings.values(), this.#paused, state.backing));
  }

  /** Tells the front-end that a vring is broken. */
  signalError(index: number): void {
    const fd = this.#vrings.get(index)?.start.errFd ?? -1;
    if (fd >= 0) signalEventfd(fd);
  }
}
