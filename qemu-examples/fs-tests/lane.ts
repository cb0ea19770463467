/**
 * A lane takes one test after the other from the work that is left, runs it on each side, and replaces guests that were
 * lost. Several lanes side by side share the work; a lane stays with its file system as long as there is something to do.
 */
import { statfsSync } from 'node:fs';
import type { CaseResult, FileSystem, Side, Suite, TestCase } from './cases.ts';
import { caseLabel, EnvironmentError } from './cases.ts';
import { Machine } from './machine.ts';
import type { MachineSetup } from './qemu-command.ts';

/** A machine that does not boot says nothing about its disks, and QEMU's TCG loses one now and then. */
const BOOT_ATTEMPTS = 3;
/** Disks are sparse: when the host has less, tests would fail for want of room. */
const FREE_BYTES_MIN = 512 * 2 ** 20;

/** Under TCG on a busy machine the slowest of the packaged cases takes 70 s, of xfstests' integrity list 130. */
const TIMEOUT_SECONDS: Readonly<Record<Suite, number>> = {
  packaged: 240,
  xfstests: 900,
  blktests: 240,
};

export interface LaneSetup {
  readonly number: number;
  readonly sides: readonly Side[];
  /** Null: by the suite. */
  readonly timeoutSeconds: number | null;
  readonly machine: Omit<MachineSetup, 'name' | 'side'>;
  readonly signal: AbortSignal;
  readonly onResult: (result: CaseResult) => void;
  readonly onNote: (sentence: string) => void;
  readonly onKernel: (release: string) => void;
}

/** The tests that nobody has taken yet, by file system. */
export class Work {
  readonly #queues: Map<FileSystem, TestCase[]>;

  constructor(plan: readonly TestCase[]) {
    this.#queues = Map.groupBy(plan, ({ fs }) => fs);
  }

  /** The next test of the file system, else of the one with the most left. */
  take(fs: FileSystem | null): TestCase | undefined {
    const same = fs === null ? undefined : this.#queues.get(fs)?.shift();
    if (same !== undefined) return same;
    const longest = [...this.#queues.values()].sort((a, b) => b.length - a.length)[0];
    return longest?.shift();
  }
}

export class Lane {
  readonly #setup: LaneSetup;
  readonly #machines = new Map<Side, Machine>();
  #started = 0;
  #fs: FileSystem | null = null;

  constructor(setup: LaneSetup) {
    this.#setup = setup;
  }

  async run(work: Work): Promise<void> {
    const { signal, sides, onResult } = this.#setup;
    try {
      for (let test = work.take(null); test !== undefined; test = work.take(this.#fs)) {
        this.#fs = test.fs;
        for (const side of sides) {
          signal.throwIfAborted();
          const result = await this.#runOn(side, test);
          signal.throwIfAborted();
          onResult(result);
        }
      }
      for (const machine of this.#machines.values()) {
        for (const sentence of await machine.powerOff()) this.#setup.onNote(sentence);
      }
    } finally {
      await Promise.all([...this.#machines.values()].map((machine) => machine.kill()));
    }
  }

  async #runOn(side: Side, test: TestCase): Promise<CaseResult> {
    const machine = await this.#machineOn(side);
    if (machine.preparedFor !== test.fs) {
      const reason = await machine.prepare(test.fs);
      if (reason !== null) {
        await this.#replaceWhenLost(machine);
        const guest = machine.name;
        const none = { seconds: 0, output: '', counters: {} };
        return { ...test, side, verdict: 'fail', reason, guest, ...none };
      }
    }
    const result = await machine.run(
      test,
      this.#setup.timeoutSeconds ?? TIMEOUT_SECONDS[test.suite],
    );
    // A test that failed may have left anything on the disks.
    if (result.verdict === 'fail') machine.preparedFor = null;
    await this.#replaceWhenLost(machine);
    return result;
  }

  async #replaceWhenLost(machine: Machine): Promise<void> {
    if (!machine.lost) return;
    await machine.kill();
    this.#machines.delete(machine.side);
  }

  async #machineOn(side: Side): Promise<Machine> {
    this.#checkSpace();
    const present = this.#machines.get(side);
    if (present !== undefined && !present.lost) return present;
    if (present !== undefined) await this.#replaceWhenLost(present);
    for (let attempt = 1; ; attempt++) {
      const name = `guest-${this.#setup.number}.${++this.#started}-${side}`;
      try {
        const machine = await Machine.boot({ ...this.#setup.machine, name, side });
        this.#machines.set(side, machine);
        this.#setup.onKernel(machine.kernel);
        return machine;
      } catch (error) {
        this.#setup.signal.throwIfAborted();
        const again = error instanceof EnvironmentError && attempt < BOOT_ATTEMPTS;
        if (!again || this.#setup.machine.kernel !== null) throw error;
        this.#setup.onNote(`${name}: ${error.message}; started again`);
      }
    }
  }

  #checkSpace(): void {
    const folder = this.#setup.machine.workFolder;
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize >= FREE_BYTES_MIN) return;
    const freeMib = Math.floor((bavail * bsize) / 2 ** 20);
    throw new EnvironmentError(`${folder} has ${freeMib} MiB free, the disks need more to grow`);
  }
}

/** What a name in the plan is worth in words. */
export const planText = (plan: readonly TestCase[]) =>
  plan.map((test) => `${test.suite} ${caseLabel(test)}\n`).join('');
