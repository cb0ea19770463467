/**
 * The world of a vhost-user session without sockets, threads and files: a disk that records what it is
 * asked and objects to what no session may ask, and a table of pretended fds that must balance.
 */
import { offeredFeatures } from '../../src/blk/features.ts';
import type { IotlbUpdate } from '../../src/memory/iotlb.ts';
import type { RegionDescription } from '../../src/memory/region-table.ts';
import { type Message, MessageDecoder } from '../../src/vhost-user/message-decoder.ts';
import { Session } from '../../src/vhost-user/session.ts';
import type { ChannelEvents, SessionDisk, SessionPort } from '../../src/vhost-user/session-port.ts';
import type { InflightDescription } from '../../src/worker/inflight-memory.ts';
import type { VringStart } from '../../src/worker/messages.ts';
import type { LogPlace } from '../../src/worker/shared-log.ts';
import { encodeMessage, type HeaderText, type Reply, u64Payload } from './vhost-user-messages.ts';

/** Fds as numbers that are open or closed. Closing one that is not open is an error of the session. */
export class FdTable {
  readonly #open = new Set<number>();
  /** Fds that stand for something else than an eventfd, or than a unix socket. */
  readonly notEventfds = new Set<number>();
  readonly notSockets = new Set<number>();
  #next = 100;

  open(count = 1): number[] {
    return Array.from({ length: count }, () => {
      const fd = this.#next++;
      this.#open.add(fd);
      return fd;
    });
  }

  close(fd: number): void {
    if (!this.#open.delete(fd)) throw new Error(`fd ${fd} is closed, and it is not open`);
  }

  requireOpen(fd: number): void {
    if (!this.#open.has(fd)) throw new Error(`fd ${fd} is used, and it is not open`);
  }

  get count(): number {
    return this.#open.size;
  }
}

export const RECORDED_SHAPE = {
  capacitySectors: 2048,
  blockSizeBytes: 512,
  physicalBlockBytes: 4096,
  discardGranularityBytes: 4096,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 4,
  rangesMax: 16,
  serial: 'recorded',
};

type Refusable =
  | 'setLog'
  | 'addRegion'
  | 'removeRegion'
  | 'replaceRegions'
  | 'startVring'
  | 'createInflight'
  | 'setInflight'
  | 'updateIotlb';

export class RecordingDisk implements SessionDisk {
  features = offeredFeatures(RECORDED_SHAPE);
  readonly queueCount = RECORDED_SHAPE.queueCount;
  readonly memorySlotCount = 512;
  /** Every call in order: name and arguments. */
  readonly calls: Array<readonly [name: string, ...args: unknown[]]> = [];
  /** What the next calls of a kind are refused with. */
  readonly refusals = new Map<Refusable, string>();
  /** The base that stopVring answers. */
  stoppedAt = 0;
  readonly running = new Set<number>();
  readonly config = Uint8Array.from({ length: 96 }, (_, i) => i);
  readonly #fds: FdTable;

  constructor(fds: FdTable) {
    this.#fds = fds;
  }

  get writeback(): boolean {
    return (this.callsOf('setWriteback').at(-1)?.[0] ?? true) as boolean;
  }

  configSpace(): Uint8Array {
    return this.config;
  }

  async setFeatures(acked: bigint): Promise<void> {
    this.calls.push(['setFeatures', acked]);
  }

  async setWriteback(writeback: boolean): Promise<void> {
    this.calls.push(['setWriteback', writeback]);
  }

  async addRegion(region: RegionDescription, fd: number): Promise<string | null> {
    this.#fds.requireOpen(fd);
    this.calls.push(['addRegion', region]);
    return this.#refusal('addRegion');
  }

  async removeRegion(region: RegionDescription): Promise<string | null> {
    this.calls.push(['removeRegion', region]);
    return this.#refusal('removeRegion');
  }

  async replaceRegions(
    regions: ReadonlyArray<{ readonly region: RegionDescription; readonly fd: number }>,
  ): Promise<string | null> {
    for (const { fd } of regions) this.#fds.requireOpen(fd);
    this.calls.push(['replaceRegions', regions.map(({ region }) => region)]);
    return this.#refusal('replaceRegions');
  }

  async startVring(start: VringStart): Promise<string | number> {
    if (this.running.has(start.index)) throw new Error(`vring ${start.index} started twice`);
    this.#requireFds(start.kickFd, start.callFd, start.errFd);
    this.calls.push(['startVring', start]);
    const refusal = this.#refusal('startVring');
    if (refusal === null) this.running.add(start.index);
    return refusal ?? 0;
  }

  async stopVring(index: number, { suspend = false } = {}): Promise<number> {
    if (!this.running.delete(index)) throw new Error(`vring ${index} stopped, it does not run`);
    this.calls.push(['stopVring', index, suspend]);
    return this.stoppedAt;
  }

  createInflight(queueCount: number, queueSize: number, packed: boolean | null) {
    this.#requireStopped('an in-flight region is made');
    this.calls.push(['createInflight', queueCount, queueSize, packed]);
    const refusal = this.#refusal('createInflight');
    if (refusal !== null) return refusal;
    const description = { mmapBytes: 4096 * queueCount, mmapOffset: 0, queueCount, queueSize };
    return { fd: this.#fds.open()[0]!, description };
  }

  setInflight(description: InflightDescription, fd: number): string | null {
    this.#requireStopped('an in-flight region comes');
    this.#fds.requireOpen(fd);
    this.calls.push(['setInflight', description]);
    return this.#refusal('setInflight');
  }

  #requireStopped(what: string): void {
    if (this.running.size > 0) throw new Error(`${what} while a vring runs`);
  }

  async setVringEnabled(index: number, enabled: boolean): Promise<void> {
    if (!this.running.has(index)) throw new Error(`vring ${index} enabled, it does not run`);
    this.calls.push(['setVringEnabled', index, enabled]);
  }

  async setVringFd(index: number, which: 'kick' | 'call' | 'err', fd: number): Promise<void> {
    if (!this.running.has(index)) throw new Error(`vring ${index} changed, it does not run`);
    this.#requireFds(fd);
    this.calls.push(['setVringFd', index, which, fd]);
  }

  async setLog(place: LogPlace, fd: number, ringsEnd: number): Promise<string | null> {
    this.#fds.requireOpen(fd);
    this.calls.push(['setLog', place, ringsEnd]);
    return this.#refusal('setLog');
  }

  async setLogEventFd(fd: number): Promise<void> {
    this.#requireFds(fd);
    this.calls.push(['setLogEventFd', fd]);
  }

  async setVringLog(index: number, guestAddress: number): Promise<void> {
    if (!this.running.has(index)) throw new Error(`vring ${index} logged, it does not run`);
    this.calls.push(['setVringLog', index, guestAddress]);
  }

  onMiss: SessionDisk['onMiss'] = () => {};

  updateIotlb(update: IotlbUpdate): string | null {
    this.calls.push(['updateIotlb', update]);
    return this.#refusal('updateIotlb');
  }

  async invalidateIotlb(start: number, end: number): Promise<void> {
    this.calls.push(['invalidateIotlb', start, end]);
  }

  retryVring(index: number, denied: boolean): void {
    this.calls.push(['retryVring', index, denied]);
  }

  signal(fd: number): void {
    this.#fds.requireOpen(fd);
    this.calls.push(['signal', fd]);
  }

  async reset(): Promise<void> {
    this.running.clear();
    this.calls.push(['reset']);
  }

  /** The arguments of the calls of one kind. */
  callsOf(name: string): unknown[][] {
    return this.calls.filter(([called]) => called === name).map(([, ...args]) => args);
  }

  #requireFds(...fds: readonly number[]): void {
    for (const fd of fds) if (fd >= 0) this.#fds.requireOpen(fd);
  }

  #refusal(kind: Refusable): string | null {
    return this.refusals.get(kind) ?? null;
  }
}

export interface SayOptions {
  /** How many fds go with the message. */
  readonly fds?: number;
  readonly needReply?: boolean;
}

/** The front-end's end of a channel: what was sent on it, and what comes back. */
export class RecordedChannel {
  readonly sent: Reply[] = [];
  readonly events: ChannelEvents;
  open = true;
  /** What the next sends answer. */
  result = 0;

  constructor(events: ChannelEvents) {
    this.events = events;
  }

  /** A u64 reply, right or wrong. */
  reply(request: number, value: bigint | number, flags = 5): void {
    this.events.onBytes(encodeMessage({ request, flags }, u64Payload(value)));
  }
}

/** A session in that world, and how to talk to it. */
export class RecordedSession {
  readonly fds = new FdTable();
  readonly disk = new RecordingDisk(this.fds);
  readonly session: Session;
  readonly port: SessionPort;
  readonly replies: Reply[] = [];
  /** Device state that went out, what comes in next, and why transfers fail, if they do. */
  readonly sentStates: Uint8Array[] = [];
  stateToReceive = new Uint8Array(0);
  transferFailure: string | null = null;
  /** Fds that went with replies. */
  readonly repliedFds: number[] = [];
  readonly logLines: Array<{ level: string; text: string; error: string }> = [];
  readonly channels: RecordedChannel[] = [];
  /** Eventfds that are watched; `left`: signalled, and nobody was told yet. */
  readonly watches = new Map<number, { onSignal: () => void; left: boolean }>();
  /** What `after` was asked for and not told to forget, with the wait. */
  readonly timers = new Map<() => void, number>();
  readonly #decoder = new MessageDecoder();

  constructor() {
    this.port = {
      disk: this.disk,
      send: (bytes, fds = []) => {
        for (const fd of fds) this.fds.requireOpen(fd);
        this.repliedFds.push(...fds);
        this.replies.push(decodeReply(bytes));
      },
      closeFd: (fd) => this.fds.close(fd),
      adoptEventfd: (fd) => !this.fds.notEventfds.has(fd),
      createEventfd: () => this.fds.open()[0]!,
      watchEventfd: (fd, onSignal) => {
        this.fds.requireOpen(fd);
        const watch = { onSignal, left: false };
        this.watches.set(fd, watch);
        return {
          stop: () => {
            this.fds.requireOpen(fd);
            this.watches.delete(fd);
            return watch.left;
          },
        };
      },
      openChannel: (fd, events) => this.#openChannel(fd, events),
      sendState: async (fd, bytes) => {
        this.fds.close(fd);
        this.sentStates.push(bytes);
        return this.transferFailure;
      },
      receiveState: async (fd) => {
        this.fds.close(fd);
        return this.transferFailure ?? this.stateToReceive;
      },
      after: (milliseconds, callback) => {
        this.timers.set(callback, milliseconds);
        return () => this.timers.delete(callback);
      },
      log: (level, fields, text) =>
        this.logLines.push({ level, text, error: String(fields['error'] ?? '') }),
    };
    this.session = new Session(this.port);
  }

  #openChannel(fd: number, events: ChannelEvents) {
    if (this.fds.notSockets.has(fd)) return null;
    const channel = new RecordedChannel(events);
    this.channels.push(channel);
    return {
      send: (bytes: Uint8Array) => {
        if (!channel.open) throw new Error('a message on a closed channel');
        if (channel.result === 0) channel.sent.push(decodeReply(bytes));
        return channel.result;
      },
      close: () => {
        channel.open = false;
        this.fds.close(fd);
      },
    };
  }

  /** The time of everything that waits is over. */
  expireTimers(): void {
    const due = [...this.timers.keys()];
    this.timers.clear();
    for (const callback of due) callback();
  }

  /** One message through the decoder and the session; the replies to it. */
  async say(
    request: HeaderText['request'],
    payload?: Uint8Array,
    { fds = 0, needReply = false }: SayOptions = {},
  ): Promise<Reply[]> {
    const before = this.replies.length;
    const message = this.decode(encodeMessage({ request, needReply }, payload), this.fds.open(fds));
    await this.session.handle(message);
    return this.replies.slice(before);
  }

  decode(bytes: Uint8Array, fds: readonly number[]): Message {
    const header = this.#decoder.wantedBytes;
    let message = this.#decoder.push(bytes.subarray(0, header), fds);
    if (message === null) message = this.#decoder.push(bytes.subarray(header), []);
    if (message === null) throw new Error('the message is not whole');
    return message;
  }
}

function decodeReply(bytes: Uint8Array): Reply {
  const view = new DataView(bytes.slice().buffer);
  const size = view.getUint32(8, true);
  if (bytes.length !== 12 + size) throw new Error(`${bytes.length} bytes, the header says ${size}`);
  return {
    request: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    payload: new DataView(view.buffer, 12),
  };
}
