/**
 * A worker's vrings behind an IOTLB, without a kernel: a ring and its chains wait for translations, an
 * invalidation is answered only when the commands that use its range have ended, and others go on
 * meanwhile.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import type { LoopState } from '../../../src/loop/loop-state.ts';
import { ACCESS_BOTH, ACCESS_READ, ACCESS_WRITE } from '../../../src/memory/iotlb.ts';
import {
  type MissedPage,
  pageOf,
  type TranslatedChain,
} from '../../../src/virtqueue/translated-chain.ts';
import type { LoopWorker } from '../../../src/worker/loop-worker.ts';
import type { VringsRequest, WorkerAnswer } from '../../../src/worker/messages.ts';
import { WorkerVrings } from '../../../src/worker/worker-vrings.ts';
import { LoopRig, RIG_DATA_AT, type RigRequest } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const PAGE = 4096;
let rig: LoopRig;
let vrings: WorkerVrings;
let misses: Array<{ vring: number; pages: readonly MissedPage[] }>;
let answers: Array<{ id: number; answer: WorkerAnswer }>;
let nextId: number;

function ask(request: VringsRequest): number {
  vrings.carryOut({ id: nextId, request });
  return nextId++;
}

function answerTo(id: number): WorkerAnswer | undefined {
  return answers.find((answer) => answer.id === id)?.answer;
}

/** The translation of one page to the page of the same number, as a front-end would send it. */
function update(iova: number, access = ACCESS_BOTH): void {
  const slot = rig.ram.regions.findIndex(
    ({ guestAddress, bytes }) => iova >= guestAddress && iova < guestAddress + bytes.length,
  );
  const offsetBytes = iova - rig.ram.regions[slot]!.guestAddress;
  const translation = { iova, sizeBytes: PAGE, slot, offsetBytes, access };
  ask({ kind: 'updateIotlb', translation });
}

/** What a front-end does about the misses so far; the pages that were asked for. */
function grant(access = ACCESS_BOTH): number[] {
  const asked = misses.splice(0);
  for (const { pages } of asked) for (const { iova } of pages) update(iova, access);
  for (const { vring } of asked) ask({ kind: 'retryVring', index: vring, denied: false });
  return asked.flatMap(({ pages }) => pages.map(({ iova }) => iova));
}

/** Offers a request and lets the device take it, translations and all. */
function take(text: Parameters<LoopRig['offer']>[0]): RigRequest {
  const request = rig.offer(text);
  rig.serve();
  grant();
  rig.serve();
  return request;
}

function invalidate(page: number, size = PAGE): number {
  return ask({ kind: 'invalidateIotlb', start: page, end: page + size });
}

const dataPage = ({ placed }: RigRequest) => pageOf(placed.buffers.at(-1)!.address);

beforeEach(() => {
  rig = new LoopRig();
  rig.device.detach(0);
  misses = [];
  answers = [];
  nextId = 0;
  const miss = (vring: number, pages: readonly MissedPage[]) => misses.push({ vring, pages });
  const state: LoopState = {
    ...rig.state,
    events: {
      ...rig.state.events,
      onMiss: (vring, chain) => miss(vring, (chain as TranslatedChain).missed),
    },
  };
  const worker = { watchKick() {}, unwatchKick() {}, polledVrings: 0, turnsWanted: false };
  vrings = new WorkerVrings({
    memory: rig.ram.deviceMemory(),
    device: rig.device,
    state,
    worker: worker as unknown as LoopWorker,
    counters: rig.counters,
    latencies: rig.latencies,
    answer: (id, answer) => answers.push({ id, answer }),
    openLog: () => {
      throw new Error('no log was asked for');
    },
    miss,
    showCommands() {},
  });
  const { place, size } = rig.drivers[0]!;
  const fds = { kickFd: 0, callFd: -1, errFd: -1 };
  const geometry = { index: 0, size, addresses: place, base: 0 };
  const layout = { packed: false, inOrder: false, eventIdx: false, indirect: true };
  const flags = { ...layout, recover: false, enabled: true, logGuestAddress: -1, translated: true };
  ask({ kind: 'startVring', vring: { ...geometry, ...flags, ...fds }, inflight: null });
});

describe('a ring', () => {
  test('asks for its own page, with all that it is needed for, and runs when it is there', () => {
    const page = pageOf(rig.drivers[0]!.place.desc);
    expect(misses).toEqual([{ vring: 0, pages: [{ iova: page, access: ACCESS_BOTH }] }]);
    expect(rig.device.running).toHaveLength(0);
    grant();
    expect(rig.device.running).toHaveLength(1);
  });

  test('does not run on a page that may only be read', () => {
    grant(ACCESS_READ);
    expect(rig.device.running).toHaveLength(0);
    expect(misses).toHaveLength(1);
  });

  test('whose page is denied stands still, and asks again when it is kicked', () => {
    misses.length = 0;
    ask({ kind: 'retryVring', index: 0, denied: true });
    expect([misses.length, rig.violations.length]).toEqual([0, 0]);
    vrings.countKick(0);
    vrings.countKick(0);
    expect(misses).toHaveLength(1);
    grant();
    const request = take(blk.read(0, PAGE));
    rig.settle();
    expect(request.answers).toHaveLength(1);
  });

  test('stops where it is when its page is invalidated, and goes on there', () => {
    grant();
    const first = take(blk.read(0, PAGE));
    rig.settle();
    expect(first.answers).toHaveLength(1);
    expect(answerTo(invalidate(pageOf(rig.drivers[0]!.place.used)))).toBe(null);
    const second = rig.offer(blk.read(8, PAGE));
    rig.settle();
    expect([rig.device.running.length, second.answers.length]).toEqual([0, 0]);
    grant();
    rig.serve();
    grant();
    rig.settle();
    expect(second.answers).toHaveLength(1);
    expect(answerTo(ask({ kind: 'stopVring', index: 0, suspend: false }))).toBe(2);
  });

  test('is drained before an invalidation of its own page is answered', () => {
    grant();
    take(blk.read(0, PAGE));
    const id = invalidate(pageOf(rig.drivers[0]!.place.used));
    expect(answerTo(id)).toBeUndefined();
    rig.settle();
    vrings.carryOutDrained();
    expect(answerTo(id)).toBe(null);
  });
});

describe('a chain', () => {
  beforeEach(() => {
    grant();
  });

  test('that lacks pages is asked for as a whole, and taken when they are there', () => {
    const request = rig.offer(blk.write(0, new Uint8Array(3 * PAGE)));
    rig.serve();
    const access = misses[0]!.pages.map((page) => page.access);
    expect([misses.length, access.length]).toEqual([1, 4]);
    expect(access.slice(0, -1).every((bits) => bits === ACCESS_READ)).toBe(true);
    expect(rig.backing.submitted).toEqual([]);
    // Until it is told to, the vring is not looked at again.
    rig.settle();
    expect(misses).toHaveLength(1);
    grant();
    rig.settle();
    expect(request.answers).toEqual([1]);
  });

  test('that needs to write a page which may be read asks again, and breaks when that is denied', () => {
    const request = rig.offer(blk.read(0, PAGE));
    rig.serve();
    grant(ACCESS_READ);
    rig.serve();
    expect(misses[0]!.pages.every(({ access }) => (access & ACCESS_WRITE) !== 0)).toBe(true);
    ask({ kind: 'retryVring', index: 0, denied: true });
    rig.settle();
    expect(rig.violations).toHaveLength(1);
    expect([request.answers.length, rig.backing.submitted.length]).toEqual([0, 0]);
    expect(answerTo(ask({ kind: 'stopVring', index: 0, suspend: false }))).toBe(0);
  });

  test('whose indirect table is not there, or may only be written, waits for it', () => {
    const table = RIG_DATA_AT + 512 * PAGE;
    const [driver] = rig.drivers;
    const { placed } = take(blk.read(0, PAGE));
    rig.settle();
    driver!.addChain(placed.buffers, { indirectAt: table });
    driver!.publish();
    rig.serve();
    expect(misses[0]!.pages).toEqual([{ iova: table, access: ACCESS_READ }]);
    grant(ACCESS_WRITE);
    rig.serve();
    expect(misses[0]!.pages).toEqual([{ iova: table, access: ACCESS_READ }]);
    grant();
    rig.serve();
    expect([misses.length, rig.backing.submitted.length]).toEqual([0, 2]);
  });

  test('in flight keeps an invalidation of its page waiting, and nothing else', () => {
    const slow = take(blk.read(0, PAGE));
    const id = invalidate(dataPage(slow));
    vrings.carryOutDrained();
    expect(answerTo(id)).toBeUndefined();
    // Another request, on other pages, is served meanwhile.
    const other = rig.offer(blk.read(8, PAGE));
    rig.serve();
    expect(misses).toHaveLength(1);
    misses.length = 0;
    expect(answerTo(id)).toBeUndefined();
    rig.settle();
    expect([slow.answers.length, other.answers.length]).toEqual([1, 0]);
    vrings.carryOutDrained();
    expect(answerTo(id)).toBe(null);
  });

  test('that has ended does not', () => {
    const done = take(blk.read(0, PAGE));
    rig.settle();
    const slow = take(blk.read(8, PAGE));
    expect(answerTo(invalidate(dataPage(done)))).toBe(null);
    expect(answerTo(invalidate(dataPage(slow)))).toBeUndefined();
  });

  test('whose translation was replaced in flight keeps the invalidation waiting, too', () => {
    const slow = take(blk.read(0, PAGE));
    update(dataPage(slow));
    const id = invalidate(dataPage(slow));
    expect(answerTo(id)).toBeUndefined();
    rig.settle();
    vrings.carryOutDrained();
    expect(answerTo(id)).toBe(null);
  });

  test('that was refused holds nothing', () => {
    // No status byte: the chain is taken and given back.
    const [driver] = rig.drivers;
    driver!.addChain([{ address: RIG_DATA_AT, lengthBytes: 16 }]);
    driver!.publish();
    rig.serve();
    grant();
    rig.serve();
    expect(rig.violations).toHaveLength(1);
    expect(answerTo(invalidate(RIG_DATA_AT))).toBe(null);
  });
});

test('memory that goes takes its translations along', () => {
  grant();
  take(blk.read(0, PAGE));
  rig.settle();
  expect(answerTo(ask({ kind: 'changeRegions', removeSlots: [1], add: [] }))).toBe(null);
  // The ring's own region is still there; its page has to be asked for no more than before.
  expect(rig.device.running).toHaveLength(1);
  rig.offer(blk.read(0, PAGE));
  rig.serve();
  expect(misses).toHaveLength(1);
});
