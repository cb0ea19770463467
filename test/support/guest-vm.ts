/**
 * A small virtual machine that runs one shell script and powers off. The script goes in as an fw_cfg
 * file, everything it says comes out on the serial console: lines `RESULT name value…` are what tests
 * look at. Every wait is bounded, and QEMU dies with the test run.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BoundedProcess, waitFor } from './bounded-process.ts';
import type { GuestAssets } from './guest-assets.ts';
import { type DiskOptions, GuestDisk } from './guest-disk.ts';
import { QmpClient } from './guest-qmp.ts';

/** Boots take 3 to 6 seconds alone, several times that next to other load. */
const FINISH_TIMEOUT_MS = 240_000;
const MEMORY_MIB = 1024;

export interface GuestOptions {
  /** Runs in the guest under busybox's sh. */
  readonly script: string;
  /** For QEMU: disks, firmware. */
  readonly arguments: readonly string[];
  /** False: the guest boots from its disk and not from a kernel that QEMU loads. */
  readonly kernel?: boolean;
  readonly fio?: boolean;
  readonly cpus?: number;
  /** Carry on after a reset instead of ending. */
  readonly mayReboot?: boolean;
}

export class Guest {
  readonly #folder: string;
  readonly #process: BoundedProcess;
  #qmp: QmpClient | undefined;

  constructor(assets: GuestAssets, folder: string, options: GuestOptions) {
    this.#folder = mkdtempSync(join(folder, 'guest-'));
    writeFileSync(this.#path('script'), options.script);
    writeFileSync(this.#path('serial'), '');
    this.#process = new BoundedProcess([
      'qemu-system-x86_64',
      ...['-nodefaults', '-no-user-config', '-display', 'none'],
      // vhost-user needs the machine's own memory to be shared.
      ...['-machine', 'q35,memory-backend=mem', '-m', `${MEMORY_MIB}`],
      ...['-object', `memory-backend-memfd,id=mem,size=${MEMORY_MIB}M,share=on`],
      // QEMU 7.2's TCG gets cmpxchg16b wrong now and then, and guests die of it.
      ...(assets.accelerator === 'kvm'
        ? ['-accel', 'kvm', '-cpu', 'host']
        : ['-accel', 'tcg,thread=multi', '-cpu', 'max,cx16=off']),
      ...['-smp', `${options.cpus ?? 2}`],
      ...['-fw_cfg', `name=opt/vloop/script,file=${this.#path('script')}`],
      ...['-serial', `file:${this.#path('serial')}`],
      ...['-qmp', `unix:${this.#path('qmp')},server=on,wait=off`],
      ...(options.mayReboot ? [] : ['-no-reboot']),
      ...((options.kernel ?? true) ? this.#kernelArguments(assets, options.fio ?? false) : []),
      ...options.arguments,
    ]);
  }

  #path(file: string): string {
    return join(this.#folder, file);
  }

  #kernelArguments(assets: GuestAssets, fio: boolean): string[] {
    let initrd = join(assets.base, 'guest.cpio');
    if (fio) {
      // The kernel unpacks one archive after the other.
      const archives = [initrd, join(assets.fio, 'fio.cpio')].map((path) => readFileSync(path));
      initrd = this.#path('initrd');
      writeFileSync(initrd, Buffer.concat(archives));
    }
    const append = 'console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off';
    return ['-kernel', join(assets.base, 'vmlinuz'), '-initrd', initrd, '-append', append];
  }

  get serial(): string {
    return readFileSync(this.#path('serial'), 'latin1').replaceAll('\r', '');
  }

  get #story(): string {
    return `the guest's last words:\n${this.serial.slice(-1500)}\nQEMU: ${this.#process.output}`;
  }

  /** Waits until the serial console shows the text. */
  async says(text: string, timeoutMs = FINISH_TIMEOUT_MS): Promise<void> {
    await waitFor(
      () => `"${text}" from the guest; ${this.#story}`,
      timeoutMs,
      () => {
        if (this.serial.includes(text)) return true;
        if (this.#process.ended) throw new Error(`QEMU ended before "${text}"; ${this.#story}`);
        return undefined;
      },
    );
  }

  /** Runs a QMP command. */
  async qmp(command: string): Promise<unknown> {
    this.#qmp ??= await QmpClient.connect(this.#path('qmp'));
    return this.#qmp.execute(command);
  }

  /** Waits for the power-off; the script must have ended with status 0. */
  async finish(timeoutMs = FINISH_TIMEOUT_MS): Promise<GuestReport> {
    try {
      const { status, signal } = await this.#process.within(timeoutMs).catch((error) => {
        throw new Error(`${error instanceof Error ? error.message : error}\n${this.#story}`);
      });
      if (status !== 0) throw new Error(`QEMU ended with ${signal ?? status}; ${this.#story}`);
      if (!this.serial.includes('GUEST-RC 0')) {
        throw new Error(`the guest's script failed; ${this.#story}`);
      }
      return new GuestReport(this.serial);
    } finally {
      this.#qmp?.close();
    }
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

/** A folder, its disks and its guests, all of which end with `close`. */
export class GuestLab {
  readonly folder = mkdtempSync(join(tmpdir(), 'vloop-guest-'));
  readonly #assets: GuestAssets;
  readonly #disks: GuestDisk[] = [];
  readonly #guests: Guest[] = [];

  constructor(assets: GuestAssets) {
    this.#assets = assets;
  }

  async disk(name: string, options: DiskOptions): Promise<GuestDisk> {
    const disk = await GuestDisk.serve(this.folder, name, options);
    this.#disks.push(disk);
    return disk;
  }

  start(options: GuestOptions): Guest {
    const guest = new Guest(this.#assets, this.folder, options);
    this.#guests.push(guest);
    return guest;
  }

  async close(): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.kill()));
    await Promise.all(this.#disks.map((disk) => disk.process.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
