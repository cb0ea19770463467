/**
 * The loop of the load generator over all its queues: takes answers, starts the next requests at once, and between
 * them spins or sleeps for calls as a guest does. Runs in one go and returns when everything is answered; waits are
 * bounded. The loop allocates nothing for a request.
 */

import { errnoName } from '../../protocol/errno.ts';
import { Epoll } from '../../src/sys/epoll.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import type { LoadLane } from './load-lane.ts';

/** A device that answers nothing for so long is taken for dead. */
const STALL_MS = 5000;
const SLEEP_MS = 1000;
/** A spinning client reads the clock once in so many looks. */
const SPINS_PER_CLOCK = 65_536;

export type LoadCount = {
  requests: number;
  seconds: number;
  sleeps: number;
  kicks: number;
  /** CPU time of the client's thread. */
  clientCpuUs: number;
};

export class LoadRun {
  readonly latency = new LatencyHistogram();
  readonly #lanes: readonly LoadLane[];
  readonly #sleeping: boolean;
  readonly #expectedStatus: number;
  readonly #epoll = new Epoll();
  #answered = 0;
  #sleeps = 0;
  /** When answers came last, in milliseconds: in an array, since a field would hold a new box each time. */
  readonly #clock = new Float64Array(1);
  #idleSpins = 0;

  constructor(lanes: readonly LoadLane[], wait: 'sleep' | 'spin', expectedStatus: number) {
    this.#lanes = lanes;
    this.#sleeping = wait === 'sleep';
    this.#expectedStatus = expectedStatus;
    lanes.forEach(({ queue }, key) => {
      const errno = this.#epoll.add(queue.callFd, key);
      if (errno < 0) throw new Error(`epoll: ${errnoName(errno)}`);
    });
  }

  /** Until the time is over, or the lanes have nothing more to start. */
  run(seconds: number): LoadCount {
    const cpu = process.threadCpuUsage();
    const kicksBefore = this.#kicks();
    this.#answered = 0;
    this.#sleeps = 0;
    this.latency.reset();
    const start = performance.now();
    this.#clock[0] = start;
    this.#fill();
    const end = this.#loop(start + seconds * 1000);
    const { user, system } = process.threadCpuUsage(cpu);
    return {
      requests: this.#answered,
      seconds: (end - start) / 1000,
      sleeps: this.#sleeps,
      kicks: this.#kicks() - kicksBefore,
      clientCpuUs: user + system,
    };
  }

  #kicks(): number {
    return this.#lanes.reduce((sum, { queue }) => sum + queue.kickCount, 0);
  }

  /** All places of all queues. */
  #fill(): void {
    for (const lane of this.#lanes) {
      const depth = lane.queue.done.length;
      for (let place = 0; place < depth; place++) if (!lane.start(place, this.#clock)) break;
      lane.queue.publish();
    }
  }

  /** Answers when it ended. */
  #loop(deadlineMs: number): number {
    const lanes = this.#lanes;
    const clock = this.#clock;
    let ending = false;
    for (;;) {
      let answered = 0;
      let outstanding = 0;
      for (let i = 0; i < lanes.length; i++) {
        const lane = lanes[i]!;
        const count = lane.queue.collect(this.#expectedStatus);
        if (count > 0) {
          answered += count;
          clock[0] = performance.now();
          if (clock[0] >= deadlineMs) ending = true;
          this.#turn(lane, count, ending);
        }
        outstanding += lane.queue.inFlight;
      }
      if (outstanding === 0) return clock[0]!;
      if (answered > 0) continue;
      if (this.#sleeping) this.#sleep();
      else if (++this.#idleSpins % SPINS_PER_CLOCK === 0) this.#stallCheck();
    }
  }

  #turn(lane: LoadLane, count: number, ending: boolean): void {
    const { queue } = lane;
    const clock = this.#clock;
    for (let i = 0; i < count; i++) {
      const place = queue.done[i]!;
      this.latency.record(wholeNs(clock[0]! - queue.submittedAt[place]!));
      lane.finish(place);
      if (!ending) lane.start(place, clock);
    }
    this.#answered += count;
    queue.publish();
  }

  /** Until a call, unless an answer has come meanwhile. */
  #sleep(): void {
    const lanes = this.#lanes;
    let nothing = true;
    for (let i = 0; i < lanes.length; i++) if (!lanes[i]!.queue.armCalls()) nothing = false;
    if (nothing) {
      this.#sleeps++;
      const errno = this.#epoll.wait(SLEEP_MS);
      if (errno < 0) throw new Error(`epoll_wait: ${errnoName(errno)}`);
      if (this.#epoll.count === 0) this.#stallCheck();
    }
    for (let i = 0; i < lanes.length; i++) lanes[i]!.queue.disarmCalls();
  }

  #stallCheck(): void {
    if (performance.now() - this.#clock[0]! <= STALL_MS) return;
    const outstanding = this.#lanes.reduce((sum, { queue }) => sum + queue.inFlight, 0);
    throw new Error(`no answer for ${STALL_MS} ms, ${outstanding} requests are out`);
  }
}

/** As a 32-bit integer, which is passed on without a box: up to 2 s. */
function wholeNs(ms: number): number {
  return Math.min(ms * 1e6, 2e9) | 0;
}
