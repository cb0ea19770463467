/**
 * What the micro-benchmark times, each as waves of requests: taking a chain, preparing an SQE, handling a completion,
 * the whole turn. Only the device's side is timed; a wave that did not do its work throws.
 */
import { UringFile } from '../../src/backing/uring-file.ts';
import { BlkRequest } from '../../src/blk/blk-request.ts';
import {
  IO_READ,
  ioPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
} from '../../src/loop/backing-port.ts';
import { LIMITS } from '../support/mock-driver-decode.ts';
import { MicroKernel } from './micro-kernel.ts';
import { MicroRig, type RequestShape } from './micro-rig.ts';

export interface Subject {
  readonly name: string;
  /** Chains, SQEs, completions or requests of one wave. */
  readonly count: number;
  /** Runs one wave; the milliseconds of its timed part. */
  readonly wave: () => number;
}

const SHAPES: readonly RequestShape[] = [
  ...[false, true].flatMap((indirect) =>
    [1, 4, 32].map((segments) => ({ segments, indirect, packed: false })),
  ),
  { segments: 4, indirect: false, packed: true },
  { segments: 1, indirect: true, packed: true },
];

function named(what: string, { segments, indirect, packed }: RequestShape): string {
  const pieces = `${segments} ${segments === 1 ? 'segment' : 'segments'}`;
  return `${what}, ${pieces}, ${indirect ? 'indirect' : 'direct'}${packed ? ', packed' : ''}`;
}

/** Popped off the avail ring, walked, decoded. */
function chainSubject(shape: RequestShape): Subject {
  const rig = new MicroRig(shape);
  const { vring, memory, chain } = rig.setup;
  const request = new BlkRequest();
  const heads = new Uint16Array(rig.requestCount);
  const wave = () => {
    rig.offer();
    let bytes = 0;
    const start = performance.now();
    for (let i = 0; i < heads.length; i++) {
      if (vring.pop(chain) !== 1) break;
      request.decode(chain, memory, LIMITS);
      heads[i] = chain.head;
      bytes += request.lengthBytes;
    }
    const spent = performance.now() - start;
    if (bytes !== rig.requestCount * rig.requestBytes) throw new Error(`decoded ${bytes} bytes`);
    for (const head of heads) vring.push(head, 0);
    vring.publish();
    rig.collect();
    return spent;
  };
  return { name: named('chain', shape), count: rig.requestCount, wave };
}

const SQES = 128;

function sqeSubject(): Subject {
  const kernel = new MicroKernel(SQES, 0);
  const file = new UringFile(kernel.queue, 3);
  const place = ioPlace(0, 0);
  let tags = 0;
  const handler = {
    onCompletion: (low: number) => {
      tags += low;
    },
  };
  const wave = () => {
    const start = performance.now();
    for (let tag = 0; tag < SQES; tag++) {
      place[PLACE_OFFSET_BYTES] = 2 ** 33 + tag * 4096;
      place[PLACE_ADDRESS] = 2 ** 46 + tag * 8192;
      file.submit(IO_READ, tag, place, 4096, 0);
    }
    const spent = performance.now() - start;
    kernel.queue.submitAndWait(0);
    tags = 0;
    kernel.queue.reap(handler, SQES);
    if (tags !== (SQES * (SQES - 1)) / 2) throw new Error('SQEs were lost');
    return spent;
  };
  return { name: 'SQE', count: SQES, wave };
}

/** From the CQE to the used element, published. */
function completionSubject(): Subject {
  const rig = new MicroRig({ segments: 1, indirect: false, packed: false });
  const wave = () => {
    rig.offer();
    rig.serve();
    rig.enter();
    const start = performance.now();
    rig.complete();
    const spent = performance.now() - start;
    rig.collect();
    return spent;
  };
  return { name: 'completion', count: rig.requestCount, wave };
}

/** From the avail ring to the used ring, without what the kernel's stand-in takes. */
function turnSubject(shape: RequestShape): Subject {
  const rig = new MicroRig(shape);
  const wave = () => {
    rig.offer();
    const kernelMs = rig.kernel.spentMs;
    const start = performance.now();
    rig.turns();
    const spent = performance.now() - start;
    rig.collect();
    return spent - (rig.kernel.spentMs - kernelMs);
  };
  return { name: named('turn', shape), count: rig.requestCount, wave };
}

export function makeSubjects(): Subject[] {
  return [
    ...SHAPES.map(chainSubject),
    sqeSubject(),
    completionSubject(),
    ...SHAPES.map(turnSubject),
  ];
}
