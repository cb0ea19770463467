/**
 * A disk as the main thread holds it: an open backing file, its shape, its workers and the guest memory
 * that they share. The session drives it; every change of a running vring goes to the worker that owns
 * the vring and is awaited.
 */

import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from '../../protocol/virtio-blk.ts';
import { VHOST_F_LOG_ALL } from '../../protocol/virtio-ring.ts';
import { encodeConfigSpace } from '../blk/config-space.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { hasFeature, isWriteThrough, offeredFeatures } from '../blk/features.ts';
import { answeredRequests, sumCounters } from '../loop/counters.ts';
import type { IotlbUpdate } from '../memory/iotlb.ts';
import { type MappedRegion, type RegionDescription, RegionTable } from '../memory/region-table.ts';
import { signalEventfd } from '../sys/eventfd.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import { DiskFreeze } from './disk-freeze.ts';
import { DiskLog } from './disk-log.ts';
import { canShrink, GuestRegions } from './guest-region.ts';
import { type InflightDescription, InflightMemory } from './inflight-memory.ts';
import { KeptFiles } from './kept-files.ts';
import type { LoopWorkers } from './loop-workers.ts';
import type { VringStart, WorkerRequest } from './messages.ts';
import { type DiskStand, type DiskState, decodeWord, encodeWord } from './session-state.ts';
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
  readonly #onShrinkable: () => void;
  readonly #lease: DiskLease | null;
  readonly #regions = new RegionTable(VHOST_USER_MAX_RAM_SLOTS);
  readonly #mapped = new GuestRegions();
  readonly #running = new Set<number>();
  readonly #files = new KeptFiles();
  readonly #log: DiskLog;
  #shape: DiskShape;
  #inflight: InflightMemory | null = null;
  /** Workers have translations. */
  #iotlbUsed = false;
  #acked = 0n;
  #writeback = true;

  constructor(shape: DiskShape, workers: LoopWorkers, { onShrinkable, lease }: LoopDiskOptions) {
    this.#onShrinkable = onShrinkable;
    this.#lease = lease;
    this.#shape = shape;
    this.features = offeredFeatures(shape);
    this.queueCount = shape.queueCount;
    this.#workers = workers;
    this.freeze = new DiskFreeze(workers);
    this.#log = new DiskLog(workers, () => hasFeature(this.#acked, VHOST_F_LOG_ALL));
  }

  get shape(): DiskShape {
    return this.#shape;
  }

  /**
   * The disk has another size or block: what is checked against it from the next turn on. Requests in
   * flight are not looked at again.
   */
  async reshape(part: Partial<DiskShape>): Promise<void> {
    this.#shape = { ...this.#shape, ...part };
    await this.#setMode();
  }

  get writeback(): boolean {
    return this.#writeback;
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
    return encodeConfigSpace(this.#shape, this.#writeback);
  }

  /** The driver's features decide about the cache mode and which requests are known. */
  async setFeatures(acked: bigint): Promise<void> {
    const logChanged = hasFeature(acked ^ this.#acked, VHOST_F_LOG_ALL);
    this.#acked = acked;
    if (logChanged) await this.#log.tell();
    // A driver that acked CONFIG_WCE and cannot flush starts with writeback = 0 (§5.2.5.2).
    if (hasFeature(acked, VIRTIO_BLK_F_CONFIG_WCE) && !hasFeature(acked, VIRTIO_BLK_F_FLUSH)) {
      this.#writeback = false;
    }
    await this.#setMode();
  }

  async setWriteback(writeback: boolean): Promise<void> {
    this.#writeback = writeback;
    await this.#setMode();
  }

  /** Maps regions and makes them known to every worker. null, or why not; then nothing has changed. */
  async addRegion(region: RegionDescription, fd: number): Promise<string | null> {
    const mapped = this.#map(region, fd);
    if (typeof mapped === 'string') return mapped;
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots: [], add: [mapped] });
    return null;
  }

  /** Unmaps a region once no command in flight can touch it. null, or why not. */
  async removeRegion(region: RegionDescription): Promise<string | null> {
    const mapped = this.#regions.find(region);
    if (mapped === undefined) {
      return `guest address=0x${region.guestAddress.toString(16)} size=${region.sizeBytes}: no such region`;
    }
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots: [mapped.slot], add: [] });
    this.#regions.remove(mapped.slot);
    this.#unmap(mapped);
    return null;
  }

  /** SET_MEM_TABLE: the new table instead of the old one, or a reason and the old one gone as well. */
  async replaceRegions(
    regions: ReadonlyArray<{ readonly region: RegionDescription; readonly fd: number }>,
  ): Promise<string | null> {
    const old = this.#regions.regions;
    this.#regions.clear();
    const added = [];
    let refusal: string | null = null;
    for (const { region, fd } of regions) {
      const mapped = this.#map(region, fd);
      if (typeof mapped === 'string') {
        refusal = mapped;
        break;
      }
      added.push(mapped);
    }
    const removeSlots = old.map((region) => region.slot);
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots, add: added });
    for (const region of old) this.#unmap(region);
    return refusal;
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
    if (this.#running.size === 0) await this.#forgetIotlb();
    await this.#giveUpIfIdle();
    return answer;
  }

  async #giveUpIfIdle(): Promise<void> {
    if (this.#running.size === 0) await this.#lease?.giveUp();
  }

  async setVringEnabled(index: number, enabled: boolean): Promise<void> {
    await this.#askOwner(index, { kind: 'setEnabled', index, enabled });
  }

  /** Puts a translation into the IOTLB. null, or why not. */
  updateIotlb({ iova, sizeBytes, userAddress, access }: IotlbUpdate): string | null {
    const region = this.#regions.findUser(userAddress, sizeBytes);
    if (region === undefined) {
      return `user address=0x${userAddress.toString(16)} size=${sizeBytes} is not inside one memory region`;
    }
    const offsetBytes = userAddress - region.userAddress;
    const translation = { iova, sizeBytes, slot: region.slot, offsetBytes, access };
    this.#iotlbUsed = true;
    // Not awaited: what a worker is asked, it does in the order of the asking.
    void this.#workers.askAll({ kind: 'updateIotlb', translation });
    return null;
  }

  /** Forgets translations of [start, end), once no command in flight uses them. */
  async invalidateIotlb(start: number, end: number): Promise<void> {
    await this.#workers.askAll({ kind: 'invalidateIotlb', start, end });
  }

  async #forgetIotlb(): Promise<void> {
    if (!this.#iotlbUsed) return;
    this.#iotlbUsed = false;
    await this.invalidateIotlb(0, Number.MAX_SAFE_INTEGER);
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
    const ends = this.#regions.regions.map((region) => region.guestAddress + region.sizeBytes);
    return await this.#log.set(place, fd, Math.max(ringsEnd, ...ends));
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
    await this.#forgetIotlb();
    this.#replaceInflight(null);
    await this.#log.drop();
    await this.replaceRegions([]);
    this.#acked = 0n;
    this.#writeback = true;
  }

  /** Maps a region into the table, or says why not. Its file is kept open for a successor. */
  #map(region: RegionDescription, fd: number): MappedRegion | string {
    const refusal = this.#regions.refusal(region);
    if (refusal !== null) return refusal;
    if (canShrink(fd)) this.#onShrinkable();
    const address = this.#mapped.map(region, fd);
    if (typeof address === 'string') return address;
    const mapped = this.#regions.add(region, address);
    const failure = this.#files.keep(mapped, { region, fd });
    if (failure === null) return mapped;
    this.#regions.remove(mapped.slot);
    this.#mapped.unmap(mapped.hostAddress);
    return failure;
  }

  #unmap(mapped: MappedRegion): void {
    this.#mapped.unmap(mapped.hostAddress);
    this.#files.drop(mapped);
  }

  // ── another process takes over ───────────────────────────────────────────────────────────────

  /** What the front-end has set up, for another process; the fds stay this disk's. */
  state(): DiskState {
    return {
      features: encodeWord(this.#acked),
      writeback: this.#writeback,
      regions: this.#files.regions,
      inflight: this.#inflight?.state ?? null,
      log: this.#log.state,
    };
  }

  /** The same on the other side. null, or why not; the fds are only borrowed. */
  async adopt(state: DiskState): Promise<string | null> {
    const { features, writeback, regions, inflight, log } = state;
    const acked = decodeWord(features);
    if ((acked & ~this.features) !== 0n) return `features ${features}: not all are offered here`;
    this.#acked = acked;
    this.#writeback = writeback;
    await this.#setMode();
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
    return { vrings, figures: figures.stand(), flushErrno, shape: this.#shape };
  }

  /** Counts on from there, and remembers a flush that failed. */
  continueFrom({ figures, flushErrno }: DiskStand): void {
    this.#workers.figures.continueFrom(figures);
    this.#workers.flushErrno = flushErrno;
  }

  async #setMode(): Promise<void> {
    const { capacitySectors, blockSizeBytes, readOnly, rangesMax } = this.#shape;
    await this.#workers.askAll({
      kind: 'setMode',
      writeThrough: isWriteThrough(this.#acked, this.#writeback),
      limits: {
        capacitySectors,
        blockSizeBytes,
        readOnly,
        rangesMax,
        discard: hasFeature(this.#acked, VIRTIO_BLK_F_DISCARD),
        writeZeroes: hasFeature(this.#acked, VIRTIO_BLK_F_WRITE_ZEROES),
      },
    });
  }

  /** Vrings are dealt to workers round-robin; each is owned by one for as long as it runs. */
  #askOwner(index: number, request: WorkerRequest) {
    return this.#workers.ask(index % this.#workers.count, request);
  }
}
