/**
 * A lane takes one test after the other from the work that is left, runs it on each side, and replaces guests that were
 * lost. Several lanes side by side share the work; a lane stays with its file system as long as there is something to do.
 */
import { statfsSync } from 'node:fs';
import type { CaseResult, FileSystem, Side, Suite, TestCase } from './cases.ts';
import { caseLabel, EnvironmentError, isGreen } from './cases.ts';
import { Machine } from './machine.ts';
import { LostAtBootError, type MachineEnding, NotUpError } from './machine-ending.ts';
import type { MachineSetup } from './qemu-command.ts';
import type { Work } from './work.ts';

/** A guest that does not come up says nothing about its disks, unless one of them died. */
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

/** Which guest had to go before it could run a test, and why. */
interface Lost {
  readonly guest: string;
  readonly ending: MachineEnding;
}

export class Lane {
  readonly #setup: LaneSetup;
  readonly #machines = new Map<Side, Machine>();
  readonly #last = new Map<Side, CaseResult>();
  #started = 0;
  /** Whether this kernel has come up here before: then it is not what keeps a guest from it. */
  #cameUp = false;
  /** In a row. */
  #lostAtBoot = 0;

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
        const sentence = await machine.powerOff();
        if (sentence !== null) this.#setup.onNote(sentence);
        this.#tellLoss(machine);
      }
    } finally {
      await Promise.all([...this.#machines.values()].map((machine) => machine.kill()));
    }
  }

  /** As many of the tests as go in one; how many that were. */
  async #runOn(side: Side, tests: readonly TestCase[]): Promise<number> {
    const { signal, timeoutSeconds } = this.#setup;
    const [test] = tests as readonly [TestCase];
    const ready = await this.#readyMachine(side, test.fs);
    if (!(ready instanceof Machine)) {
      const { verdict, reason, evidence: output = '' } = ready.ending;
      const none = { seconds: 0, counters: {} };
      this.#tell({ ...test, side, verdict, reason, output, guest: ready.guest, ...none });
      return 1;
    }
    const seconds = timeoutSeconds ?? TIMEOUT_SECONDS[test.suite];
    const count = await ready.run(tests, seconds, (result) => {
      if (signal.aborted) return;
      if (!isGreen(result.verdict)) this.#checkRoom(ready, `${caseLabel(result)} ran`);
      // A test that failed may have left anything on the disks.
      if (result.verdict === 'fail') ready.preparedFor = null;
      this.#tell(result);
    });
    if (ready.lost) await this.#drop(ready);
    return count;
  }

  #tell(result: CaseResult): void {
    this.#last.set(result.side, result);
    this.#setup.onResult(result);
  }

  /** A machine that was lost between tests is the result of the last one there, in place of what that had. */
  #tellLoss(machine: Machine): void {
    const loss = machine.takeLoss();
    const last = this.#last.get(machine.side);
    if (loss === null || last?.guest !== machine.name || this.#setup.signal.aborted) return;
    const { verdict, reason, evidence = '' } = loss;
    const reasons = [last.reason, `after its end: ${reason}`].filter(Boolean).join('; ');
    const output = [last.output, evidence].filter(Boolean).join('\n');
    this.#tell({ ...last, verdict, reason: reasons, output });
  }

  async #drop(machine: Machine): Promise<void> {
    this.#tellLoss(machine);
    await machine.kill();
    this.#machines.delete(machine.side);
  }

  /**
   * A machine whose disks are ready, or how it was lost. Where tests have run something may hold the disks: then a new
   * machine has the say.
   */
  async #readyMachine(side: Side, fs: FileSystem): Promise<Machine | Lost> {
    for (;;) {
      let machine: Machine;
      try {
        machine = await this.#machineOn(side);
      } catch (error) {
        if (!(error instanceof LostAtBootError)) throw error;
        if (++this.#lostAtBoot < BOOT_ATTEMPTS) return error;
        throw new EnvironmentError(
          `${BOOT_ATTEMPTS} guests in a row did not come up: ${error.message}`,
        );
      }
      this.#lostAtBoot = 0;
      if (machine.preparedFor === fs) return machine;
      const ending = await machine.prepare(fs);
      if (ending === null) return machine;
      this.#setup.signal.throwIfAborted();
      const { name: guest, used } = machine;
      if (isGreen(ending.verdict)) return { guest, ending };
      this.#checkRoom(machine, `the disks were made ready for ${fs}`);
      await this.#drop(machine);
      if (!used || ending.verdict !== 'fail') return { guest, ending };
      this.#setup.onNote(`${guest}: ${ending.reason}; a new guest takes its place`);
    }
  }

  async #machineOn(side: Side): Promise<Machine> {
    this.#checkSpace();
    const present = this.#machines.get(side);
    if (present !== undefined && !present.lost) return present;
    if (present !== undefined) await this.#drop(present);
    for (let attempt = 1; ; attempt++) {
      const name = `guest-${this.#setup.number}.${++this.#started}-${side}`;
      const began = performance.now();
      try {
        const machine = await Machine.boot({ ...this.#setup.machine, name, side });
        this.#machines.set(side, machine);
        this.#cameUp = true;
        this.#setup.onBoot(machine, (performance.now() - began) / 1000);
        return machine;
      } catch (error) {
        this.#setup.signal.throwIfAborted();
        const again = error instanceof NotUpError && attempt < BOOT_ATTEMPTS;
        if (!again || (this.#setup.machine.kernel !== null && !this.#cameUp)) throw error;
        this.#setup.onNote(`${name}: ${error.message}; started again`);
      }
    }
  }

  /** A test that failed because the host was full says nothing about anything. */
  #checkRoom(machine: Machine, what: string): void {
    const folder = this.#setup.machine.workFolder;
    if (!machine.ranOutOfRoom && freeBytes(folder) >= FREE_BYTES_FULL) return;
    throw new EnvironmentError(`${folder} was full while ${what}, which therefore does not count`);
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
