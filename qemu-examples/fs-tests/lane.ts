/**
 * A lane takes one test after the other from the work that is left, runs it on each side, and replaces guests that were
 * lost. Several lanes side by side share the work; a lane stays with its file system as long as there is something to do.
 */
import { statfsSync } from 'node:fs';
import type { CaseResult, FileSystem, Side, Suite, TestCase } from './cases.ts';
import { caseLabel, EnvironmentError, isGreen } from './cases.ts';
import { Machine } from './machine.ts';
import type { MachineSetup } from './qemu-command.ts';
import type { Work } from './work.ts';

/** A machine that does not boot says nothing about its disks, and QEMU's TCG loses one now and then. */
const BOOT_ATTEMPTS = 3;
/** Disks are sparse: when the host has less, tests would fail for want of room. */
const FREE_BYTES_MIN = 512 * 2 ** 20;
const FREE_BYTES_FULL = 2 ** 20;

/** Under TCG on a busy machine the slowest of the packaged cases takes 70 s, of xfstests' integrity list 130. */
const TIMEOUT_SECONDS: Readonly<Record<Suite, number>> = {
  packaged: 240,
  checker: 240,
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
  readonly onBoot: (machine: Machine, seconds: number) => void;
}

export class Lane {
  readonly #setup: LaneSetup;
  readonly #machines = new Map<Side, Machine>();
  #started = 0;

  constructor(setup: LaneSetup) {
    this.#setup = setup;
  }

  async run(work: Work): Promise<void> {
    const { signal, sides } = this.#setup;
    try {
      let fs: FileSystem | null = null;
      for (let batch = work.take(fs); batch.length > 0; batch = work.take(fs)) {
        fs = batch[0]!.fs;
        for (const side of sides) {
          for (let left = batch; left.length > 0; ) {
            signal.throwIfAborted();
            left = left.slice(await this.#runOn(side, left));
          }
        }
      }
      for (const machine of this.#machines.values()) {
        for (const sentence of await machine.powerOff()) this.#setup.onNote(sentence);
      }
    } finally {
      await Promise.all([...this.#machines.values()].map((machine) => machine.kill()));
    }
  }

  /** As many of the tests as go in one; how many that were. */
  async #runOn(side: Side, tests: readonly TestCase[]): Promise<number> {
    const { signal, timeoutSeconds, onResult } = this.#setup;
    const [{ suite, fs }] = tests as readonly [TestCase];
    const machine = await this.#machineOn(side);
    if (machine.preparedFor !== fs) {
      const ending = await machine.prepare(fs);
      if (ending !== null) {
        signal.throwIfAborted();
        await this.#replaceWhenLost(machine);
        const guest = machine.name;
        const { verdict, reason, evidence: output = '' } = ending;
        const none = { seconds: 0, counters: {} };
        onResult({ ...tests[0]!, side, verdict, reason, output, guest, ...none });
        return 1;
      }
    }
    const count = await machine.run(tests, timeoutSeconds ?? TIMEOUT_SECONDS[suite], (result) => {
      if (signal.aborted) return;
      if (!isGreen(result.verdict)) this.#checkRoom(machine, result);
      // A test that failed may have left anything on the disks.
      if (result.verdict === 'fail') machine.preparedFor = null;
      onResult(result);
    });
    await this.#replaceWhenLost(machine);
    return count;
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
      const began = performance.now();
      try {
        const machine = await Machine.boot({ ...this.#setup.machine, name, side });
        this.#machines.set(side, machine);
        this.#setup.onBoot(machine, (performance.now() - began) / 1000);
        return machine;
      } catch (error) {
        this.#setup.signal.throwIfAborted();
        const again = error instanceof EnvironmentError && attempt < BOOT_ATTEMPTS;
        if (!again || this.#setup.machine.kernel !== null) throw error;
        this.#setup.onNote(`${name}: ${error.message}; started again`);
      }
    }
  }

  /** A test that failed because the host was full says nothing about anything. */
  #checkRoom(machine: Machine, result: CaseResult): void {
    const folder = this.#setup.machine.workFolder;
    if (!machine.ranOutOfRoom && freeBytes(folder) >= FREE_BYTES_FULL) return;
    throw new EnvironmentError(
      `${folder} was full while ${caseLabel(result)} ran, which therefore does not count`,
    );
  }

  #checkSpace(): void {
    const folder = this.#setup.machine.workFolder;
    const free = freeBytes(folder);
    if (free >= FREE_BYTES_MIN) return;
    const freeMib = Math.floor(free / 2 ** 20);
    throw new EnvironmentError(`${folder} has ${freeMib} MiB free, the disks need more to grow`);
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** What a name in the plan is worth in words. */
export const planText = (plan: readonly TestCase[]) =>
  plan.map((test) => `${test.suite} ${caseLabel(test)}\n`).join('');
