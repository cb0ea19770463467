/**
 * One guest with its disks: boots, prepares a file system, runs cases one after the other, powers off. A case that loses
 * the machine (panic, hang, back-end death) is a result like the others, and a machine that is lost between cases tells
 * that once (takeLoss); it is to be killed then. Every wait is bounded.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BoundedProcess, type Finished } from '../../test/support/bounded-process.ts';
import { collectEvidence } from '../../test/support/guest-evidence.ts';
import { QmpClient } from '../../test/support/guest-qmp.ts';
import { Batch, ranOut } from './batch.ts';
import type { CaseResult, FileSystem, Side, TestCase } from './cases.ts';
import { Channel } from './channel.ts';
import type { ChannelLine } from './channel-lines.ts';
import { GuestDisks } from './disks.ts';
import { GuestRecord } from './guest-record.ts';
import { debtsText, lastLines, refuseKernel } from './last-words.ts';
import {
  endOfQemu,
  LostAtBootError,
  lossAtPowerOff,
  type MachineEnding,
  NotUpError,
} from './machine-ending.ts';
import { type MachineSetup, qemuCommand } from './qemu-command.ts';

/** Alone a guest is up in 4 to 7 s under TCG; other machines may be busy. */
const BOOT_TIMEOUT_MS = 120_000;
const PREPARE_TIMEOUT_MS = 120_000;
const POWER_OFF_TIMEOUT_MS = 30_000;
/** A guest whose disk is gone ends soon, or never. */
const DEATH_TIMEOUT_MS = 2000;
/**
 * The guest cuts a test off itself; when it says nothing for so much longer, it is the guest that hangs.
 */
const GUEST_GRACE_MS = 75_000;

/** What `prepare` answers for a kernel that has no such file system. */
const STATUS_NOT_RUN = 77;

export class Machine {
  readonly name: string;
  readonly side: Side;
  readonly #folder: string;
  readonly #setup: MachineSetup;
  readonly #record: GuestRecord;
  readonly #disks: GuestDisks;
  readonly #qemu: BoundedProcess;
  readonly #channel: Channel;
  #ending: MachineEnding | null = null;
  /** Of an ending that came by itself: whether no test has it as its result. */
  #unheard = false;
  /** Whether a test has run. */
  used = false;
  #kernel = '';
  /** What the disks are prepared for. */
  preparedFor: FileSystem | null = null;

  private constructor(
    setup: MachineSetup,
    folder: string,
    disks: GuestDisks,
    qemu: BoundedProcess,
    channel: Channel,
  ) {
    this.name = setup.name;
    this.side = setup.side;
    this.#setup = setup;
    this.#folder = folder;
    this.#record = new GuestRecord(folder, join(setup.keepFolder, setup.name));
    this.#disks = disks;
    this.#qemu = qemu;
    this.#channel = channel;
    void this.#watch();
  }

  /** Starts it and waits until it takes commands. Throws NotUpError and LostAtBootError when that does not come. */
  static async boot(setup: MachineSetup): Promise<Machine> {
    const folder = join(setup.workFolder, setup.name);
    mkdirSync(folder);
    const disks = await GuestDisks.start(setup.side, folder, setup.roles, setup.vloopOptions);
    const qemu = new BoundedProcess(qemuCommand(setup, folder, disks.qemuArguments));
    const interrupt = () => qemu.signal('SIGKILL');
    setup.signal.addEventListener('abort', interrupt);
    if (setup.signal.aborted) interrupt();
    qemu.finished
      .finally(() => setup.signal.removeEventListener('abort', interrupt))
      .catch(() => {});
    let machine: Machine;
    try {
      const channel = await Channel.open(join(folder, 'channel'), () => qemu.ended);
      machine = new Machine(setup, folder, disks, qemu, channel);
    } catch (error) {
      await Promise.all([qemu.kill().catch(() => {}), disks.kill()]);
      const reason = error instanceof Error ? error.message : String(error);
      throw new NotUpError(`${reason}: ${qemu.output.trim() || 'it said nothing'}`);
    }
    try {
      await machine.#greeting();
    } catch (error) {
      await machine.kill();
      throw error;
    }
    return machine;
  }

  async #greeting(): Promise<void> {
    const hello = await this.#line(BOOT_TIMEOUT_MS, (line) => line.kind === 'hello');
    if (hello?.kind === 'hello') {
      this.#kernel = hello.kernel;
      return;
    }
    if (this.#ending?.verdict === 'back-end death') {
      throw new LostAtBootError(this.name, {
        ...this.#ending,
        evidence: this.#record.lastOfConsole,
      });
    }
    const why = this.#ending?.reason ?? `it said nothing for ${BOOT_TIMEOUT_MS / 1000} s`;
    if (this.#setup.kernel !== null)
      refuseKernel(this.#setup.kernel, `${this.#record.console}\n${why}`);
    const evidence =
      this.#ending === null ? (await this.#hang(BOOT_TIMEOUT_MS / 1000)).evidence : undefined;
    this.#record.keep('boot.log', evidence ?? this.#record.console);
    const needs =
      this.#setup.kernel === null ? '' : ' (what a kernel needs: qemu-examples/fs-tests/README.md)';
    throw new NotUpError(
      `the guest did not boot: ${why}; its last words: ${lastLines(this.#record.console, 3)}${needs}`,
    );
  }

  get kernel(): string {
    return this.#kernel;
  }

  /** A machine that is no longer of use. */
  get lost(): boolean {
    return this.#ending !== null;
  }

  /** How it was lost, with evidence, unless that is a test's result already. Once. */
  takeLoss(): MachineEnding | null {
    if (this.#ending === null || !this.#unheard) return null;
    this.#unheard = false;
    return { ...this.#ending, evidence: this.#ending.evidence ?? this.#record.lastOfConsole };
  }

  get ranOutOfRoom(): boolean {
    return this.#disks.ranOutOfRoom;
  }

  /** What ends the machine from outside interrupts whoever waits for a line. */
  async #watch(): Promise<void> {
    const death = this.#disks.firstDeath();
    const ending = await Promise.race([
      death.then((reason): MachineEnding => ({ verdict: 'back-end death', reason })),
      this.#qemu.finished.then(
        (end): MachineEnding => endOfQemu(end, this.#record.console, this.#qemu.output),
        (error: Error): MachineEnding => ({ verdict: 'panic', reason: `QEMU: ${error.message}` }),
      ),
    ]);
    if (this.#ending === null) {
      this.#ending = ending;
      this.#unheard = true;
    }
    this.#channel.interrupt();
  }

  /** The first line that `wanted` takes; null when the machine ends or time is over. Questions are answered meanwhile. */
  async #line(
    timeoutMs: number,
    wanted: (line: ChannelLine) => boolean,
    others: (line: ChannelLine) => void = () => {},
  ): Promise<ChannelLine | null> {
    const deadline = performance.now() + timeoutMs;
    while (this.#ending === null) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return null;
      const line = await this.#channel.next(Math.min(leftMs, 1000));
      if (line === null) continue;
      if (line.kind === 'ask') this.#answer(line.what, line.role);
      if (wanted(line)) return line;
      others(line);
    }
    return null;
  }

  #answer(what: string, role: string): void {
    const kib = what === 'allocated' ? this.#disks.allocatedKib(role) : null;
    this.#channel.send(kib === null ? 'unknown' : `${kib}`);
  }

  /** Gets the disks ready for a file system; null when that worked, else what came of it. */
  async prepare(fs: FileSystem): Promise<MachineEnding | null> {
    this.preparedFor = null;
    const output: string[] = [];
    this.#channel.send(`prepare ${fs} ${this.#setup.roles.join(' ')}`);
    const answer = await this.#line(
      PREPARE_TIMEOUT_MS,
      ({ kind }) => kind === 'prepared',
      (line) => line.kind === 'output' && output.push(line.text),
    );
    const what = `the disks could not be prepared for ${fs}`;
    if (answer?.kind === 'prepared') {
      if (answer.status === 0) {
        this.preparedFor = fs;
        return null;
      }
      if (answer.status === STATUS_NOT_RUN)
        return { verdict: 'not run', reason: output.join('; ') };
      return { verdict: 'fail', reason: `${what}: ${output.slice(-2).join('; ')}` };
    }
    const ending: MachineEnding = this.#ending ?? (await this.#hang(PREPARE_TIMEOUT_MS / 1000));
    const evidence = ending.evidence ?? this.#record.lastOfConsole;
    this.#unheard = false;
    return { verdict: ending.verdict, reason: `${what}: ${ending.reason}`, evidence };
  }

  /**
   * Runs tests of one suite and file system, each with its result as it ends; how many were run. After one that did not pass
   * the guest may leave the rest.
   */
  async run(
    tests: readonly TestCase[],
    timeoutSeconds: number,
    onResult: (result: CaseResult) => void,
  ): Promise<number> {
    const [{ suite, fs }, names] = [tests[0]!, tests.map(({ name }) => name)];
    const batch = new Batch(tests, { side: this.side, guest: this.name, timeoutSeconds, onResult });
    this.used = true;
    this.#channel.send(`run ${timeoutSeconds} ${suite} ${fs} ${names.join(' ')}`);
    const patienceSeconds = timeoutSeconds + GUEST_GRACE_MS / 1000;
    for (;;) {
      const began = performance.now();
      const line = await this.#line(
        patienceSeconds * 1000,
        // Each has its own time: on a busy machine ./check alone takes minutes to come up.
        ({ kind }) => kind === 'begin' || kind === 'end' || kind === 'done',
        (other) => batch.take(other),
      );
      if (line === null) {
        const ending = this.#ending ?? (await this.#hang(patienceSeconds));
        const seconds = (performance.now() - began) / 1000;
        const told = batch.lose(ending, seconds, ending.evidence ?? this.#record.lastOfConsole);
        if (told) this.#unheard = false;
        return batch.done;
      }
      if (line.kind === 'done') return batch.done;
      const hang =
        line.kind === 'end' && ranOut(line, timeoutSeconds)
          ? await this.#hang(patienceSeconds)
          : null;
      batch.take(line, hang?.debts);
      if (hang !== null) return batch.done;
    }
  }

  /** Evidence of a guest that hangs, which is lost then. `debts`: what its disks owe it, in words. */
  async #hang(seconds: number) {
    const { text, debts } = await collectEvidence({
      qemuPid: this.#qemu.pid,
      vloops: this.#disks.backEnds,
      serial: this.#record.console,
      accelerator: this.#setup.accelerator,
      qmp: () => QmpClient.connect(join(this.#folder, 'qmp')),
    });
    const silent = `the guest has said nothing for ${seconds} s`;
    const words = this.side === 'vloop' ? debtsText(debts) : '';
    this.#record.keep('hang.log', text);
    const ending = { verdict: 'hang' as const, reason: [silent, words].filter(Boolean).join('; ') };
    this.#ending = ending;
    const owing = this.side === 'vloop' && debts !== null && debts.length > 0;
    return { ...ending, evidence: text, debts: words, owing };
  }

  /**
   * Powers it off. What is lost at that is a result too (takeLoss): a panic, a back-end that dies or does not end, a guest that
   * does not come to its end because a disk owes it something. A guest that does not for no such reason is a sentence.
   */
  async powerOff(): Promise<string | null> {
    this.#channel.send('off');
    await this.#line(POWER_OFF_TIMEOUT_MS, ({ kind }) => kind === 'off');
    // A guest whose disk is gone may never end; one that has ended takes a vloop with --autoclear along.
    const death = this.#ending?.verdict === 'back-end death' ? this.#ending : null;
    const end = await this.#endOfQemuWithin(
      death === null ? POWER_OFF_TIMEOUT_MS : DEATH_TIMEOUT_MS,
    );
    const hang =
      end === null && death === null ? await this.#hang(POWER_OFF_TIMEOUT_MS / 1000) : null;
    await this.#end();
    const [bad] = await this.#disks.stop();
    const { console } = this.#record;
    const owed = hang?.owing ? hang : null;
    const loss = lossAtPowerOff({ console, output: this.#qemu.output, end, death, owed, bad });
    this.#ending = loss;
    this.#unheard = loss !== null;
    this.#keepLogs();
    return end === null && loss === null ? `${this.name}: the guest did not power off` : null;
  }

  async #endOfQemuWithin(timeoutMs: number): Promise<Finished | null> {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), timeoutMs).unref());
    return await Promise.race([this.#qemu.finished, late]);
  }

  async kill(): Promise<void> {
    await this.#end();
    await this.#disks.kill();
    this.#keepLogs();
  }

  async #end(): Promise<void> {
    this.#ending ??= { verdict: 'panic', reason: 'it was ended' };
    this.#channel.interrupt();
    this.#channel.close();
    await this.#qemu.kill().catch(() => {});
  }

  #keepLogs(): void {
    this.#record.keep('console.log', this.#record.console);
    this.#record.keep('qemu.log', this.#qemu.output);
    for (const [role, log] of this.#disks.logs()) this.#record.keep(`vloop-${role}.log`, log);
  }
}
