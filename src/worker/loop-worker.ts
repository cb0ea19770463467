/**
 * The event loop of a loop worker: its reactor. The thread never returns to Node's own loop. One turn
 * serves every vring a batch, submits, collects and publishes; when there is nothing to do it polls a
 * little if that has paid off lately, then sleeps until a kick, a result or a word of the main thread.
 */
import type { BackingPort } from '../loop/backing-port.ts';
import { type ClockUs, elapsedUs } from '../loop/clock.ts';
import type { LoopDevice } from '../loop/loop-device.ts';
import type { PollWindow } from './poll-window.ts';
import { KEY_CONTROL, KEY_RESULTS, type Reactor, type ReactorSink } from './reactor.ts';

/** performance.now() costs more than a look at the rings. */
const SPINS_PER_CLOCK = 16;

/**
 * Turns with work of their own between two looks at a reactor that says nothing by itself (epoll): as
 * late as that may a word of the main thread be heard. A disk in memory makes no system call meanwhile.
 */
const BUSY_TURNS = 16;

export interface LoopWorkerPort {
  /** Something was sent to the worker: read and carry it out. */
  onControl(): void;
  /** Called between turns while wanted: carries out what waited for requests in flight. */
  onTurn(): void;
  onKick(vring: number): void;
  /** Lets others have the CPU who wait for it. */
  yieldCpu(): void;
  readonly now: ClockUs;
}

export interface LoopWorkerParts {
  readonly reactor: Reactor;
  readonly device: LoopDevice;
  readonly backing: BackingPort;
  readonly window: PollWindow;
  readonly wakeFd: number;
  readonly port: LoopWorkerPort;
}

export class LoopWorker implements ReactorSink {
  readonly #reactor: Reactor;
  readonly #device: LoopDevice;
  /** Another one only while nothing is in flight. */
  backing: BackingPort;
  readonly #window: PollWindow;
  readonly #port: LoopWorkerPort;
  #controlPending = true;
  #exiting = false;
  /** Vrings whose driver never kicks. */
  polledVrings = 0;
  /** Set while requests wait for commands in flight to end. */
  turnsWanted = false;

  constructor(parts: LoopWorkerParts) {
    this.#reactor = parts.reactor;
    this.#device = parts.device;
    this.backing = parts.backing;
    this.#window = parts.window;
    this.#port = parts.port;
    this.#reactor.watch(KEY_CONTROL, parts.wakeFd);
  }

  watchKick(vring: number, fd: number): void {
    this.#reactor.watch(vring, fd);
  }

  unwatchKick(vring: number): void {
    this.#reactor.unwatch(vring);
  }

  exit(): void {
    this.#exiting = true;
  }

  /** Runs until `exit`. Throws what no request can cause: the reactor itself failing. */
  run(): void {
    let busyTurns = 0;
    while (!this.#exiting) {
      if (this.#controlPending) {
        this.#controlPending = false;
        this.#port.onControl();
      }
      if (this.turnsWanted) this.#port.onTurn();
      const more = this.#device.serve();
      const delivered = this.backing.reap(this);
      this.#device.publish();
      const busy = more || delivered > 0;
      if (this.#reactor.hasWork() || (busy && ++busyTurns % BUSY_TURNS === 0)) {
        this.#reactor.turn(false, false);
        this.#collect();
      } else if (!busy && !this.#controlPending && !this.#exiting) {
        // Also while something drains: a command is in flight then, and its result ends the sleep.
        this.#idle();
      }
    }
    this.#device.publish();
  }

  onSignal(key: number): void {
    if (key === KEY_CONTROL) this.#controlPending = true;
    else if (key !== KEY_RESULTS) this.#port.onKick(key);
  }

  onResult(tag: number, result: number): void {
    this.#device.onResult(tag, result);
  }

  #collect(): void {
    while (this.#reactor.reap(this)) this.#device.publish();
    this.#device.publish();
  }

  /** Nothing to do: poll for as long as it has paid off lately, then sleep. */
  #idle(): void {
    const device = this.#device;
    const reactor = this.#reactor;
    const pollUs = this.#window.begin();
    if (pollUs > 0) {
      const { now, yieldCpu } = this.#port;
      const startUs = now();
      for (let spins = 1; ; spins++) {
        if (device.hasWork() || reactor.hasWork() || this.backing.reap(this) > 0) {
          this.#window.hit();
          return;
        }
        if (spins % SPINS_PER_CLOCK !== 0) continue;
        if (elapsedUs(startUs, now()) >= pollUs) break;
        // It may be the driver itself that waits for this CPU: polling would keep it from asking.
        yieldCpu();
      }
      this.#window.miss();
    }
    if (!device.armKicks()) reactor.turn(true, this.polledVrings > 0);
    device.suppressKicks();
    this.#collect();
  }
}
