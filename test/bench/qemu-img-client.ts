/**
 * `qemu-img bench` through libblkio: a client that neither side of the comparison wrote. It takes a number of
 * requests and not a time, so the first run on a back-end and workload is a trial that sets the number (and warms
 * the back-end up). Its offsets advance by a stride that visits every block before any twice.
 */
import type { BackEndProcess } from '../support/back-end-process.ts';
import { LibblkioClient } from '../support/libblkio-client.ts';
import type { TrixieRoot } from '../support/trixie-root.ts';
import type { Client, Measurement } from './client.ts';
import { requestsFor } from './statistics.ts';
import { type Workload, workloadName } from './workload.ts';

const STRIDE_BLOCKS = 7919;
const TRIAL_REQUESTS = 5_000;
const REQUEST_LIMIT = 20_000_000;

export class QemuImgClient implements Client {
  readonly name = 'qemu-img';
  readonly describe = `qemu-img: bench through libblkio, stride of ${STRIDE_BLOCKS} blocks`;
  readonly #root: TrixieRoot;
  readonly #requests = new Map<string, number>();

  constructor(root: TrixieRoot) {
    this.#root = root;
  }

  async measure(
    backEnd: BackEndProcess,
    workload: Workload,
    seconds: number,
  ): Promise<Measurement> {
    const key = `${backEnd.pid}/${workloadName(workload)}`;
    let requests = this.#requests.get(key);
    if (requests === undefined) {
      await this.#run(backEnd, workload, TRIAL_REQUESTS);
      const trial = await this.#run(backEnd, workload, TRIAL_REQUESTS);
      requests = requestsFor(seconds, trial, REQUEST_LIMIT);
      this.#requests.set(key, requests);
    }
    return this.#run(backEnd, workload, requests);
  }

  async #run(backEnd: BackEndProcess, workload: Workload, count: number): Promise<Measurement> {
    const { depth, sizeBytes, operation, queues } = workload;
    if ((operation !== 'randread' && operation !== 'randwrite') || queues !== 1)
      throw new Error(`qemu-img cannot run ${workloadName(workload)}`);
    const seconds = await new LibblkioClient(this.#root, backEnd).bench({
      count,
      depth,
      sizeBytes,
      stepBytes: STRIDE_BLOCKS * sizeBytes,
      ...(operation === 'randwrite' ? { writePattern: 0x5a } : {}),
    });
    return { requests: count, seconds };
  }
}
