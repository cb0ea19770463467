/**
 * QEMU's command line for a guest of fs-tests: the root disk on NVMe (Debian's kernel has that and ext4 built in, so there is
 * no initrd) or, for a kernel of the user's, on virtio, with its modules on another disk; the payload; two serial ports; shared
 * memory for vhost-user.
 */
import { join } from 'node:path';
import type { Side } from './cases.ts';
import type { UserKernel } from './user-kernel.ts';

export interface MachineSetup {
  readonly name: string;
  readonly side: Side;
  readonly qemu: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** vmlinuz and root.img. */
  readonly image: string;
  /** A kernel of the user's; null: the image's. */
  readonly kernel: UserKernel | null;
  /** More for the kernel's command line. */
  readonly append: string;
  readonly payload: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly roles: readonly string[];
  readonly vloopOptions: readonly string[];
  /** Where its disks and sockets are while it lives. */
  readonly workFolder: string;
  /** Where its logs go in the end. */
  readonly keepFolder: string;
  /** Aborted: the machine is ended, whatever it does. */
  readonly signal: AbortSignal;
}

export function qemuCommand(
  setup: MachineSetup,
  folder: string,
  disks: readonly string[],
): string[] {
  const { memoryMib, kernel } = setup;
  const root = kernel === null ? '/dev/nvme0n1' : '/dev/vda';
  const append =
    `console=ttyS0 root=${root} rw init=/init.sh quiet loglevel=4 panic=-1 mitigations=off ` +
    `net.ifnames=0 systemd.log_level=err ${setup.append}`;
  return [
    // What the guest writes to its root is in an unnamed file of QEMU's, beside its disks.
    ...['env', `TMPDIR=${folder}`, setup.qemu],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,memory-backend=mem', '-m', `${memoryMib}`],
    ...['-object', `memory-backend-memfd,id=mem,size=${memoryMib}M,share=on`],
    // QEMU 7.2's TCG gets cmpxchg16b wrong now and then, and kernels die of it.
    ...(setup.accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'max,cx16=off']),
    ...['-smp', `${setup.vcpus}`],
    ...['-kernel', kernel?.image ?? join(setup.image, 'vmlinuz'), '-append', append.trim()],
    ...['-drive', `file=${join(setup.image, 'root.img')},if=none,id=root,format=raw,snapshot=on`],
    // The first virtio disk, hence /dev/vda; kernel-init.sh looks for the serials.
    ...['-device', `${kernel === null ? 'nvme' : 'virtio-blk-pci'},drive=root,serial=vloop-root`],
    ...moduleArguments(kernel),
    ...['-drive', `file=${setup.payload},if=none,id=payload,format=raw,readonly=on`],
    ...['-device', 'virtio-blk-pci,drive=payload,serial=vloop-payload'],
    ...['-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng'],
    ...['-serial', `file:${join(folder, 'console')}`],
    ...['-chardev', `socket,id=channel,path=${join(folder, 'channel')},server=on,wait=off`],
    ...['-serial', 'chardev:channel'],
    ...['-qmp', `unix:${join(folder, 'qmp')},server=on,wait=off`],
    ...disks,
  ];
}

function moduleArguments(kernel: UserKernel | null): string[] {
  if (kernel === null || kernel.modules === null) return [];
  const { initramfs, image } = kernel.modules;
  return [
    ...['-initrd', initramfs],
    ...['-drive', `file=${image},if=none,id=modules,format=raw,readonly=on`],
    ...['-device', 'virtio-blk-pci,drive=modules,serial=vloop-modules'],
  ];
}
