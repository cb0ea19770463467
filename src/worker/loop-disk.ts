/**
 * A disk as the main thread holds it: an open backing file, its shape, its workers and the guest memory
 * that they share. The session drives it; every change of a running vring goes to the worker that owns
 * the vring and is awaited.
 */

import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import { VHOST_F_LOG_ALL } from '../../protocol/virtio-ring.ts';
import { encodeConfigSpace } from '../blk/config-space.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { hasFeature, offeredFeatures } from '../blk/features.ts';
import { answeredRequests, sumCounters } from '../loop/counters.ts';
import type { IotlbUpdate } from '../memory/iotlb.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import { signalEventfd } from '../sys/eventfd.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import { DiskFreeze } from './disk-freeze.ts';
import { DiskLog } from './disk-log.ts';
import { DiskMemory } from './disk-memory.ts';
import { DiskMode } from './disk-mode.ts';
import { type InflightDescription, InflightMemory } from './inflight-memory.ts';
import type { LoopWorkers } from './loop-workers.ts';
import type { VringStart, WorkerRequest } from './messages.ts';
import {
  type DiskStand,
  type DiskState,
  decodeWord,
  encodeWord,
  type RegionState,
} from './session-state.ts';
import type { LogPlace } from './shared-log.ts';

/** What has to be had while any vring runs. */
export interface DiskLease {
  /** null, or why not. */
  take(): Promise<string | null>;
  giveUp(): Promise<void>;
}

export interface LoopDiskOptions {
  /** Memory has arrived that its owner can truncate, which would kill this process. */
  readonly onShrinkable: () => void;
  readonly lease: DiskLease | null;
}

export class LoopDisk {
  /** Told of pages that a vring lacks translations for; the vring stands still until `retryVring`. */
  onMiss: (vring: number, pages: readonly MissedPage[]) => void = () => {};

  readonly features: bigint;
  readonly queueCount: number;
  readonly memorySlotCount = VHOST_USER_MAX_RAM_SLOTS;

  readonly freeze: DiskFreeze;
  readonly #workers: LoopWorkers;
  readonly #lease: DiskLease | null;
  readonly #memory: DiskMemory;
  readonly #running = new Set<number>();
  readonly #log: DiskLog;
  readonly #mode: DiskMode;
  #inflight: InflightMemory | null = null;

  constructor(shape: DiskShape, workers: LoopWorkers, { onShrinkable, lease }: LoopDiskOptions) {
    this.#lease = lease;
    this.#mode = new DiskMode(shape, workers);
    this.features = offeredFeatures(shape);
    this.queueCount = shape.queueCount;
    this.#workers = workers;
    this.#memory = new DiskMemory(workers, onShrinkable);
    this.freeze = new DiskFreeze(workers);
    this.#log = new DiskLog(workers, () => hasFeature(this.#mode.acked, VHOST_F_LOG_ALL));
  }

  get shape(): DiskShape {
    return this.#mode.shape;
  }

  /**
   * The disk has another size or block: what is checked against it from the next turn on. Requests in
   * flight are not looked at again.
   */
  async reshape(part: Partial<DiskShape>): Promise<void> {
    this.#mode.shape = { ...this.#mode.shape, ...part };
    await this.#mode.tell();
  }

  get writeback(): boolean {
    return this.#mode.writeback;
  }

  /** Counters of all vrings since the disk was made, by name. */
  counters(): Record<string, number> {
    return sumCounters(this.#workers.figures.counters);
  }

  /** Requests answered since the disk was made. */
  answeredRequests(): number {
    return answeredRequests(this.#workers.figures.counters);
  }

  configSpace(): Uint8Array {
    return encodeConfigSpace(this.#mode.shape, this.#mode.writeback);
  }

  async setFeatures(acked: bigint): Promise<void> {
    const logChanged = hasFeature(acked ^ this.#mode.acked, VHOST_F_LOG_ALL);
    this.#mode.ack(acked);
    if (logChanged) await this.#log.tell();
    await this.#mode.tell();
  }

  async setWriteback(writeback: boolean): Promise<void> {
    this.#mode.writeback = writeback;
    await this.#mode.tell();
  }

  async addRegion(region: RegionDescription, fd: number): Promise<string | null> {
    return await this.#memory.add(region, fd);
  }

  async removeRegion(region: RegionDescription): Promise<string | null> {
    return await this.#memory.remove(region);
  }

  async replaceRegions(regions: readonly RegionState[]): Promise<string | null> {
    return await this.#memory.replace(regions);
  }

  /** How many requests in flight were taken up again, or why it cannot run. */
  async startVring(start: VringStart): Promise<string | number> {
    const inflight = this.#inflight?.placeOf(start.index) ?? null;
    if (typeof inflight === 'string') return inflight;
    const refusal = (await this.#lease?.take()) ?? null;
    if (refusal !== null) return refusal;
    const answer = await this.#askOwner(start.index, {
      kind: 'startVring',
      vring: start,
      inflight,
    });
    if (typeof answer === 'string') {
      await this.#giveUpIfIdle();
      return answer;
    }
    if (typeof answer !== 'number') throw new Error(`startVring ${start.index}: no answer`);
    this.#running.add(start.index);
    return answer;
  }

  /**
   * Stops a vring when its last request has completed, or at once: then what is in flight stays recorded
   * in the in-flight region. Answers where it stands.
   */
  async stopVring(index: number, { suspend = false } = {}): Promise<number> {
    const answer = await this.#askOwner(index, { kind: 'stopVring', index, suspend });
    if (typeof answer !== 'number') throw new Error(`stopVring ${index}: ${answer}`);
    this.#running.delete(index);
    // A driver that starts anew may have other tables; of the old ones the front-end says no more.
    if (this.#running.size === 0) await this.#memory.forgetIotlb();
    await this.#giveUpIfIdle();
    return answer;
  }

  async #giveUpIfIdle(): Promise<void> {
    if (this.#running.size === 0) await this.#lease?.giveUp();
  }

  async setVringEnabled(index: number, enabled: boolean): Promise<void> {
    await this.#askOwner(index, { kind: 'setEnabled', index, enabled });
  }

  updateIotlb(update: IotlbUpdate): string | null {
    return this.#memory.updateIotlb(update);
  }

  async invalidateIotlb(start: number, end: number): Promise<void> {
    await this.#memory.invalidateIotlb(start, end);
  }

  /** The misses of a vring were answered, or their time is over. */
  retryVring(index: number, denied: boolean): void {
    void this.#askOwner(index, { kind: 'retryVring', index, denied });
  }

  async setVringFd(index: number, which: 'kick' | 'call' | 'err', fd: number): Promise<void> {
    await this.#askOwner(index, { kind: 'setFd', index, which, fd });
  }

  /** Makes an in-flight region and uses it from now on; no vring runs. Its fd is the caller's. */
  createInflight(
    queueCount: number,
    queueSize: number,
    packed: boolean | null,
  ): { fd: number; description: InflightDescription } | string {
    const made = InflightMemory.create(queueCount, queueSize, packed);
    if (typeof made === 'string') return made;
    this.#replaceInflight(made.memory);
    return made;
  }

  /** Uses a region that the front-end has kept; no vring runs. null, or why not. */
  setInflight(description: InflightDescription, fd: number): string | null {
    const memory = InflightMemory.map(description, fd);
    if (typeof memory === 'string') return memory;
    this.#replaceInflight(memory);
    return null;
  }

  #replaceInflight(memory: InflightMemory | null): void {
    this.#inflight?.unmap();
    this.#inflight = memory;
  }

  /** Takes a dirty log. null, or why not. `ringsEnd`: where the logged rings end. */
  async setLog(place: LogPlace, fd: number, ringsEnd: number): Promise<string | null> {
    return await this.#log.set(place, fd, Math.max(ringsEnd, this.#memory.endAddress));
  }

  /** The fd stays the session's, until it sets another one. */
  async setLogEventFd(fd: number): Promise<void> {
    await this.#log.setEventFd(fd);
  }

  /** Logs what is written to a vring's used ring, which lies at a guest address; -1: does not. */
  async setVringLog(index: number, guestAddress: number): Promise<void> {
    await this.#askOwner(index, { kind: 'setVringLog', index, guestAddress });
  }

  /** Signals a call eventfd of a vring that does not run. */
  signal(fd: number): void {
    signalEventfd(fd);
  }

  /** The front-end has gone: back to how the disk was before it came. */
  async reset(): Promise<void> {
    for (const index of [...this.#running]) await this.stopVring(index);
    await this.#memory.forgetIotlb();
    this.#replaceInflight(null);
    await this.#log.drop();
    await this.replaceRegions([]);
    this.#mode.acked = 0n;
    this.#mode.writeback = true;
  }

  // ── another process takes over ───────────────────────────────────────────────────────────────

  /** What the front-end has set up, for another process; the fds stay this disk's. */
  state(): DiskState {
    return {
      features: encodeWord(this.#mode.acked),
      writeback: this.#mode.writeback,
      regions: this.#memory.states,
      inflight: this.#inflight?.state ?? null,
      log: this.#log.state,
    };
  }

  /** The same on the other side. null, or why not; the fds are only borrowed. */
  async adopt(state: DiskState): Promise<string | null> {
    const { features, writeback, regions, inflight, log } = state;
    const acked = decodeWord(features);
    if ((acked & ~this.features) !== 0n) return `features ${features}: not all are offered here`;
    this.#mode.acked = acked;
    this.#mode.writeback = writeback;
    await this.#mode.tell();
    return (
      (await this.replaceRegions(regions)) ??
      (inflight === null ? null : this.setInflight(inflight.description, inflight.fd)) ??
      (log === null ? null : await this.setLog(log.place, log.fd, 0))
    );
  }

  /** Brings every vring to a standstill for another process; `freeze.thaw` ends that. */
  async handOver(): Promise<DiskStand | string> {
    const vrings = await this.freeze.hold();
    if (typeof vrings === 'string') return vrings;
    const { figures, flushErrno } = this.#workers;
    return { vrings, figures: figures.stand(), flushErrno, shape: this.#mode.shape };
  }

  /** Counts on from there, and remembers a flush that failed. */
  continueFrom({ figures, flushErrno }: DiskStand): void {
    this.#workers.figures.continueFrom(figures);
    this.#workers.flushErrno = flushErrno;
  }

  /** Vrings are dealt to workers round-robin; each is owned by one for as long as it runs. */
  #askOwner(index: number, request: WorkerRequest) {
    return this.#workers.ask(index % this.#workers.count, request);
  }
}
