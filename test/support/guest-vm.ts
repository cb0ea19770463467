/**
 * A small virtual machine that runs one shell script and powers off. The script goes in as an fw_cfg
 * file, everything it says comes out on the serial console: lines `RESULT name value…` are what tests
 * look at. Every wait is bounded and says what it saw when it ends in vain; QEMU dies with the test run.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BoundedProcess, type Finished, waitFor } from './bounded-process.ts';
import type { GuestAssets } from './guest-assets.ts';
import type { GuestDisk } from './guest-disk.ts';
import { collectEvidence, type Evidence } from './guest-evidence.ts';
import { QmpClient } from './guest-qmp.ts';

/** What scripts here do between two lines takes a few seconds, their whole some twenty. */
const SAYS_TIMEOUT_MS = 60_000;
const FINISH_TIMEOUT_MS = 150_000;
const MEMORY = '1024M';

export interface GuestOptions {
  /** Runs in the guest under busybox's sh. */
  readonly script: string;
  /** For QEMU: disks, firmware. */
  readonly arguments: readonly string[];
  /** False: the guest boots from its disk and not from a kernel that QEMU loads. */
  readonly kernel?: boolean;
  /** Programs that the guest gets besides its usual ones. */
  readonly programs?: ReadonlyArray<'fio' | 'kexec'>;
  /** More cpio archives for the guest's first file system. */
  readonly archives?: readonly string[];
  /** More for the kernel's command line. */
  readonly append?: string;
  readonly cpus?: number;
  /** QEMU's size, and slots for memory that is plugged in later: `1G,slots=2,maxmem=2G`. */
  readonly memory?: string;
  /** It does not boot: another machine of the same kind is migrated to it, from this unix socket. */
  readonly incoming?: string;
  /** A program that starts QEMU, with its arguments; it sees to shared memory. */
  readonly through?: readonly string[];
  /** Carry on after a reset instead of ending. */
  readonly mayReboot?: boolean;
  /** Until its script has begun; by default what a machine five times slower needs. */
  readonly bootTimeoutMs?: number;
}

/** vhost-user needs the machine's own memory to be shared. */
function sharedMemory(memory: string): string[] {
  return [
    ...['-machine', 'q35,memory-backend=mem', '-m', memory],
    ...['-object', `memory-backend-memfd,id=mem,size=${memory.split(',')[0]},share=on`],
  ];
}

export class Guest {
  readonly #folder: string;
  readonly #process: BoundedProcess;
  readonly #accelerator: string;
  readonly #disks: readonly GuestDisk[];
  #qmp: QmpClient | undefined;

  /** `disks`: the back-ends whose state is of interest when the guest does not come on. */
  constructor(
    assets: GuestAssets,
    folder: string,
    options: GuestOptions,
    disks: readonly GuestDisk[],
  ) {
    this.#folder = mkdtempSync(join(folder, 'guest-'));
    this.#accelerator = assets.accelerator;
    this.#disks = disks;
    const { memory = MEMORY, incoming, through } = options;
    writeFileSync(this.#path('script'), options.script);
    writeFileSync(this.#path('serial'), '');
    this.#process = new BoundedProcess([
      ...(through ?? []),
      'qemu-system-x86_64',
      ...['-nodefaults', '-no-user-config', '-display', 'none'],
      ...(through === undefined ? sharedMemory(memory) : ['-machine', 'q35', '-m', memory]),
      // QEMU 7.2's TCG gets cmpxchg16b wrong now and then, and guests die of it.
      ...(assets.accelerator === 'kvm'
        ? ['-accel', 'kvm', '-cpu', 'host']
        : ['-accel', 'tcg,thread=multi', '-cpu', 'max,cx16=off']),
      ...['-smp', `${options.cpus ?? 2}`],
      ...['-fw_cfg', `name=opt/vloop/script,file=${this.#path('script')}`],
      ...['-serial', `file:${this.#path('serial')}`],
      ...['-qmp', `unix:${this.#path('qmp')},server=on,wait=off`],
      ...(incoming === undefined ? [] : ['-incoming', `unix:${incoming}`]),
      ...(options.mayReboot ? [] : ['-no-reboot']),
      ...((options.kernel ?? true) ? this.#kernelArguments(assets, options) : []),
      ...options.arguments,
    ]);
  }

  #path(file: string): string {
    return join(this.#folder, file);
  }

  #kernelArguments(
    assets: GuestAssets,
    { programs = [], archives = [], append = '' }: GuestOptions,
  ): string[] {
    let initrd = join(assets.base, 'guest.cpio');
    const more = [...programs.map((name) => join(assets[name], `${name}.cpio`)), ...archives];
    if (more.length > 0) {
      // The kernel unpacks one archive after the other.
      const whole = Buffer.concat([initrd, ...more].map((path) => readFileSync(path)));
      initrd = this.#path('initrd');
      writeFileSync(initrd, whole);
    }
    const line = `console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off ${append}`;
    return ['-kernel', join(assets.base, 'vmlinuz'), '-initrd', initrd, '-append', line];
  }

  get ended(): boolean {
    return this.#process.ended;
  }

  get serial(): string {
    return readFileSync(this.#path('serial'), 'latin1').replaceAll('\r', '');
  }

  get #story(): string {
    return `QEMU: ${this.#process.output}\nthe guest's last words:\n${this.serial.slice(-1500)}`;
  }

  /** True when `probe` is in time; throws what `probe` throws. */
  #comes(timeoutMs: number, probe: () => boolean): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    return waitFor(
      () => 'end of a wait',
      2 * timeoutMs,
      () => probe() || (performance.now() > deadline ? false : undefined),
    );
  }

  /** Whether the serial console shows the text in time; throws when QEMU ends before it does. */
  #shows(text: string, timeoutMs: number): Promise<boolean> {
    return this.#comes(timeoutMs, () => {
      if (this.serial.includes(text)) return true;
      if (this.#process.ended) throw new Error(`QEMU ended before "${text}"; ${this.#story}`);
      return false;
    });
  }

  /** null once the script has begun; else what is to be seen of a machine that does not get there. */
  async stallAtBoot(timeoutMs: number): Promise<Evidence | null> {
    return (await this.#shows('GUEST-READY', timeoutMs)) ? null : await this.evidence();
  }

  /** Waits until the serial console shows the text. */
  async says(text: string, timeoutMs = SAYS_TIMEOUT_MS): Promise<void> {
    if (await this.#shows(text, timeoutMs)) return;
    const { text: evidence } = await this.evidence();
    throw new Error(`no "${text}" from the guest after ${timeoutMs} ms\n${evidence}`);
  }

  /** What is to be seen of the machine and its disks while it still runs. */
  evidence(): Promise<Evidence> {
    return collectEvidence({
      qemuPid: this.#process.pid,
      vloops: this.#disks.map(({ process }) => process),
      serial: this.serial,
      accelerator: this.#accelerator,
      qmp: () => this.#monitor(),
    });
  }

  async #monitor(): Promise<QmpClient> {
    this.#qmp ??= await QmpClient.connect(this.#path('qmp'));
    return this.#qmp;
  }

  /** Runs a QMP command. */
  async qmp(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return (await this.#monitor()).execute(command, parameters);
  }

  /** Waits for a QMP event, which may have come already. */
  async event(name: string, data: Readonly<Record<string, unknown>>): Promise<void> {
    await (await this.#monitor()).event(name, data);
  }

  /** Waits for the power-off; the script must have ended with status 0. */
  async finish(timeoutMs = FINISH_TIMEOUT_MS): Promise<GuestReport> {
    try {
      if (!(await this.#comes(timeoutMs, () => this.#process.ended))) {
        const { text: evidence } = await this.evidence();
        await this.#process.kill();
        throw new Error(`the guest still runs after ${timeoutMs} ms\n${evidence}`);
      }
      const { status, signal } = await this.#process.finished;
      if (status !== 0) throw new Error(`QEMU ended with ${signal ?? status}; ${this.#story}`);
      if (!this.serial.includes('GUEST-RC 0')) {
        throw new Error(`the guest's script failed; ${this.#story}`);
      }
      return new GuestReport(this.serial);
    } finally {
      this.#qmp?.close();
    }
  }

  /** SIGTERM to QEMU, or to the program that it was started through; how that ended. */
  async terminate(timeoutMs = FINISH_TIMEOUT_MS): Promise<Finished> {
    this.#qmp?.close();
    process.kill(this.#process.pid, 'SIGTERM');
    return await this.#process.within(timeoutMs);
  }

  /** As a crash of the machine would: QEMU gets SIGKILL. */
  async kill(): Promise<void> {
    this.#qmp?.close();
    await this.#process.kill();
  }
}

export class GuestReport {
  readonly serial: string;

  constructor(serial: string) {
    this.serial = serial;
  }

  /** What the guest said in its line `RESULT name value…`. */
  value(name: string): string {
    const [value] = this.values(name);
    if (value === undefined) throw new Error(`no RESULT ${name} in:\n${this.serial.slice(-3000)}`);
    return value;
  }

  values(name: string): string[] {
    const start = `RESULT ${name} `;
    const lines = this.serial.split('\n').filter((line) => line.startsWith(start));
    return lines.map((line) => line.slice(start.length).trim());
  }
}
