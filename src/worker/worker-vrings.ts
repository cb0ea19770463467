/**
 * The vrings of one worker, as the main thread sees them: starts and stops them, changes their fds and
 * the memory under them. A stop and a removal of memory wait until no command in flight is left that
 * could touch what goes away; the worker keeps turning meanwhile.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { COUNT_KICKS, COUNTERS_PER_VRING } from '../loop/counters.ts';
import { viewMemory } from '../sys/mmap.ts';
import { viewInflight } from '../virtqueue/inflight-region.ts';
import type { InflightPlace } from './inflight-memory.ts';
import type { LoopWorker } from './loop-worker.ts';
import {
  changesAll,
  type NumberedVringsRequest,
  unseen,
  type VringStart,
  type VringsRequest,
  type WorkerAnswer,
} from './messages.ts';
import { isUnseen, type StartedVring } from './started-vring.ts';
import { TranslatedVrings } from './translated-vrings.ts';
import { VringActivation, type VringActivationParts } from './vring-activation.ts';
import {
  setCallFd,
  setErrFd,
  setKickFd,
  signalError,
  unwatchKick,
  watchKick,
} from './vring-fds.ts';
import { inspectVrings } from './vring-inspection.ts';
import type { WorkerIotlb } from './worker-iotlb.ts';

export interface WorkerVringsParts extends VringActivationParts {
  readonly worker: LoopWorker;
  readonly answer: (id: number, answer: WorkerAnswer) => void;
}

export class WorkerVrings {
  readonly #parts: WorkerVringsParts;
  readonly #vrings = new Map<number, StartedVring>();
  readonly #activation: VringActivation;
  readonly #iotlb: WorkerIotlb;
  readonly #translated: TranslatedVrings;
  /** Requests that wait for commands in flight to end, oldest first. */
  #waiting: NumberedVringsRequest[] = [];

  constructor(parts: WorkerVringsParts) {
    this.#parts = parts;
    this.#activation = new VringActivation(parts);
    this.#iotlb = this.#activation.iotlb;
    this.#translated = new TranslatedVrings(this.#vrings, this.#activation);
  }

  countKick(vring: number): void {
    this.#parts.counters[vring * COUNTERS_PER_VRING + COUNT_KICKS]!++;
    if (this.#iotlb.table !== null) this.#translated.kickUnmapped(this.#vrings.get(vring));
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
      for (const { queue } of this.#translated.ringsIn(request)) if (queue) queue.stopping = true;
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
      const ringsAreQuiet = this.#translated
        .ringsIn(request)
        .every(({ queue }) => queue?.quiet ?? true);
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
        else if (request.enabled && vring.start.translated) this.#activation.activateOrBreak(vring);
        return null;
      }
      case 'setFd':
        this.#setFd(request.index, request.which, request.fd);
        return null;
      case 'setVringLog':
        return this.#setVringLog(request.index, request.guestAddress);
      case 'setLog':
        return this.#activation.setLog(request.log, this.#vrings.values());
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
        return this.#translated.invalidated(request);
      case 'retryVring':
        return this.#translated.retry(request.index, request.denied);
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
    const failure = this.#activation.activate(vring);
    if (failure !== null) return failure;
    this.#vrings.set(start.index, vring);
    if (!this.#activation.paused) watchKick(this.#parts.worker, start);
    return vring.queue?.takeUp() ?? 0;
  }

  #setVringLog(index: number, logGuestAddress: number): null {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return null;
    vring.start = { ...vring.start, logGuestAddress };
    this.#activation.applyLog(vring);
    return null;
  }

  #stopVring(index: number): WorkerAnswer {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return `vring ${index} is not running`;
    this.#activation.deactivate(vring);
    if (!this.#activation.paused) unwatchKick(this.#parts.worker, vring.start);
    this.#vrings.delete(index);
    return isUnseen(vring) ? unseen(vring.base) : vring.base;
  }

  #pause(): WorkerAnswer {
    const vrings = [...this.#vrings.values()];
    if (vrings.some(isUnseen)) return 'a vring waits for translations';
    for (const vring of this.#activation.paused ? [] : vrings) {
      this.#activation.deactivate(vring);
      unwatchKick(this.#parts.worker, vring.start);
    }
    this.#activation.paused = true;
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
    if (!this.#activation.paused) return null;
    this.#activation.paused = false;
    for (const vring of this.#vrings.values()) {
      watchKick(this.#parts.worker, vring.start);
      // Also one that was started meanwhile, with what its in-flight region has recorded.
      if (this.#activation.activate(vring) === null) vring.queue?.takeUp();
    }
    return null;
  }

  /** Rings are looked up again afterwards: one whose memory is away stands still until it is back. */
  #changeRegions(request: Extract<VringsRequest, { kind: 'changeRegions' }>): WorkerAnswer {
    const removing = request.removeSlots.length > 0;
    if (removing) {
      for (const vring of this.#vrings.values()) this.#activation.deactivate(vring);
      this.#iotlb.dropRegions(request.removeSlots);
      this.#parts.memory.remove(request.removeSlots);
    }
    this.#parts.memory.add(request.add);
    for (const vring of this.#vrings.values()) {
      if (vring.queue === null) this.#activation.activate(vring);
    }
    if (removing && this.#vrings.size === 0) this.#activation.release();
    return null;
  }

  #setFd(index: number, which: 'kick' | 'call' | 'err', fd: number): void {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return;
    if (which === 'kick') setKickFd(this.#parts.worker, vring, fd, !this.#activation.paused);
    else if (which === 'call') setCallFd(vring, fd);
    else setErrFd(vring, fd);
  }

  #inspect(id: number): void {
    const { answer, state } = this.#parts;
    answer(id, inspectVrings(this.#vrings.values(), this.#activation.paused, state.backing));
  }

  /** Tells the front-end that a vring is broken. */
  signalError(index: number): void {
    signalError(this.#vrings.get(index));
  }
}
