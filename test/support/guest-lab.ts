/**
 * A folder, its disks and its guests, all of which end with `close`. Boots guests in a way that tells a
 * machine which never came up from one whose disk does not answer: only the first is started again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestAssets } from './guest-assets.ts';
import { type DiskOptions, GuestDisk } from './guest-disk.ts';
import { Guest, type GuestOptions } from './guest-vm.ts';

/** Kernels that QEMU loads are up in 2 to 5 seconds alone, firmware and GRUB take 8 to 18. */
const BOOT_TIMEOUT_MS = 60_000;
const BOOT_FROM_DISK_TIMEOUT_MS = 150_000;
/** QEMU 7.2's TCG loses a machine now and then, before its script has begun. */
const BOOT_ATTEMPTS = 3;

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
    const guest = new Guest(this.#assets, this.folder, options, this.#disks);
    this.#guests.push(guest);
    return guest;
  }

  /**
   * Starts a guest and waits until its script begins. One that does not get there although QEMU answers
   * and its disks owe it nothing is started again, and that is said; anything else is a failure. So is a
   * stall of a guest whose kernel comes from the disk: wrong bytes could be its cause.
   */
  async boot(options: GuestOptions): Promise<Guest> {
    const fromDisk = options.kernel === false;
    const usualMs = fromDisk ? BOOT_FROM_DISK_TIMEOUT_MS : BOOT_TIMEOUT_MS;
    const timeoutMs = options.bootTimeoutMs ?? usualMs;
    for (let attempt = 1; ; attempt++) {
      const guest = this.start(options);
      const stall = await guest.stallAtBoot(timeoutMs);
      if (stall === null) return guest;
      await guest.kill();
      const what = `the guest has not booted within ${timeoutMs} ms (attempt ${attempt})`;
      if (fromDisk || !stall.disksOweNothing || attempt === BOOT_ATTEMPTS) {
        throw new Error(`${what}\n${stall.text}`);
      }
      process.stderr.write(`${what}; its disks owe it nothing: started again\n${stall.text}\n`);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.kill()));
    await Promise.all(this.#disks.map((disk) => disk.process.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
