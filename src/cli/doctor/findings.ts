/**
 * What the facts of a machine mean to somebody who wants to serve a disk here. Pure: facts in, findings out.
 */
import type { Finding } from '../../control/schema/doctor-report.ts';

/** 0, or the name of the error that an attempt met. */
export type Attempt = 'ok' | string;

export interface MachineFacts {
  readonly node: string;
  readonly uring: Attempt;
  /** kernel.io_uring_disabled; null: the kernel has no such switch. */
  readonly uringDisabled: number | null;
  /** A seccomp filter is on this process. */
  readonly filtered: boolean;
  readonly aio: Attempt;
  /** Infinity: unlimited. */
  readonly openFiles: number;
  readonly lockedBytes: number;
  readonly cpuCount: number;
  readonly memfd: Attempt;
  readonly hugePagesFree: number | null;
  readonly kvm: Attempt;
  /** Null: not found. */
  readonly qemu: { readonly version: string; readonly vhostUserBlk: boolean } | null;
  /** Programs that were found. */
  readonly libvirt: boolean;
  /** systemd runs this machine. */
  readonly systemd: boolean;
  /** A reason why the run directory cannot be used, or null. */
  readonly runDirectory: { readonly path: string; readonly refusal: string | null };
}

/** Memory regions, and a kick, call and error descriptor for each of 64 rings, and what the process has anyway. */
const OPEN_FILES_WANTED = 512 + 3 * 64 + 64;
const OPEN_FILES_LEAST = 128;

type Level = Finding['level'];
const finding = (subject: string, level: Level, says: string, means: string): Finding => ({
  subject,
  level,
  says,
  means,
});

export function machineFindings(facts: MachineFacts): Finding[] {
  return [
    finding('Node', 'ok', facts.node, 'runs vloop'),
    uringFinding(facts),
    aioFinding(facts),
    openFilesFinding(facts),
    lockedMemoryFinding(facts),
    cpuFinding(facts),
    memfdFinding(facts),
    hugePagesFinding(facts),
    kvmFinding(facts),
    qemuFinding(facts),
    finding(
      'libvirt',
      'ok',
      facts.libvirt ? 'found' : 'not found',
      facts.libvirt
        ? "a domain takes the disk as <disk type='vhostuser'>, with shared memory (see qemu-examples)"
        : 'not needed: QEMU takes the disk by itself',
    ),
    finding(
      'systemd',
      'ok',
      facts.systemd ? 'runs this machine' : 'does not run this machine',
      facts.systemd
        ? 'the units in src/systemd/ make disks services'
        : 'not needed: start vloop by hand, or with vloop run',
    ),
    runDirectoryFinding(facts),
  ];
}

function uringFinding({ uring, uringDisabled, filtered }: MachineFacts): Finding {
  if (uring === 'ok') return finding('io_uring', 'ok', 'allowed', 'disks use it');
  const why =
    uring === 'ENOSYS' && !filtered
      ? 'the kernel is built without it'
      : uringDisabled !== null && uringDisabled > 0
        ? `kernel.io_uring_disabled is ${uringDisabled}`
        : filtered
          ? 'a seccomp filter, as container runtimes set it, forbids it'
          : 'it cannot be set up';
  const remedy =
    uringDisabled !== null && uringDisabled > 0
      ? 'sysctl kernel.io_uring_disabled=0 allows it'
      : filtered
        ? 'a container gets it with a seccomp profile that allows io_uring_setup, io_uring_enter, io_uring_register'
        : 'a newer kernel may have it';
  const instead = 'disks with direct I/O use Linux AIO, buffered ones threads, which is slower';
  return finding('io_uring', 'note', `refused (${uring}): ${why}`, `${instead}; ${remedy}`);
}

function aioFinding({ aio, uring }: MachineFacts): Finding {
  if (aio === 'ok') {
    return finding(
      'Linux AIO',
      'ok',
      'allowed',
      uring === 'ok' ? 'not needed here' : 'used for direct I/O',
    );
  }
  const full = aio === 'EAGAIN' ? ': fs.aio-max-nr is used up' : '';
  const means = uring === 'ok' ? 'not needed here' : 'all disks use threads, which is slower';
  return finding('Linux AIO', uring === 'ok' ? 'ok' : 'note', `refused (${aio})${full}`, means);
}

function openFilesFinding({ openFiles }: MachineFacts): Finding {
  const says = `at most ${openFiles === Number.POSITIVE_INFINITY ? 'any number' : openFiles}`;
  if (openFiles >= OPEN_FILES_WANTED) {
    return finding(
      'open files',
      'ok',
      says,
      'enough for a disk with many queues and memory that grows',
    );
  }
  const level = openFiles >= OPEN_FILES_LEAST ? 'note' : 'problem';
  const means = `a machine with many vCPUs or memory slots may need ${OPEN_FILES_WANTED}: ulimit -n, or LimitNOFILE= of the unit`;
  return finding('open files', level, says, means);
}

function lockedMemoryFinding({ lockedBytes }: MachineFacts): Finding {
  const text =
    lockedBytes === Number.POSITIVE_INFINITY
      ? 'unlimited'
      : `${Math.floor(lockedBytes / 1024)} KiB`;
  return finding(
    'locked memory',
    'ok',
    text,
    'vloop locks none; kernels before 5.12 count the rings of io_uring here',
  );
}

function cpuFinding({ cpuCount }: MachineFacts): Finding {
  return cpuCount === 1
    ? finding(
        'CPUs',
        'note',
        '1 for this process',
        'polling takes it from the guest: --poll-us=0 where that matters',
      )
    : finding(
        'CPUs',
        'ok',
        `${cpuCount} for this process`,
        'workers poll for up to 32 µs while it pays off; --cpus binds them',
      );
}

function memfdFinding({ memfd }: MachineFacts): Finding {
  return memfd === 'ok'
    ? finding(
        'memfd',
        'ok',
        'with seals',
        'guests share memory by it, and requests in flight outlive vloop in one',
      )
    : finding(
        'memfd',
        'problem',
        `refused (${memfd})`,
        'no memory for requests in flight, and QEMU can hardly share its own',
      );
}

function hugePagesFinding({ hugePagesFree }: MachineFacts): Finding {
  return hugePagesFree === null || hugePagesFree === 0
    ? finding(
        'huge pages',
        'ok',
        'none reserved',
        'not needed; guest memory of huge pages needs vm.nr_hugepages',
      )
    : finding('huge pages', 'ok', `${hugePagesFree} free`, 'guest memory of huge pages is served');
}

function kvmFinding({ kvm }: MachineFacts): Finding {
  if (kvm === 'ok')
    return finding(
      'KVM',
      'ok',
      '/dev/kvm can be opened',
      'guests run at full speed; inside a virtual machine only where its host nests them',
    );
  const why =
    kvm === 'ENOENT'
      ? 'no /dev/kvm: no virtualization here, or its module is not loaded'
      : kvm === 'EACCES' || kvm === 'EPERM'
        ? '/dev/kvm is not for this user (group kvm)'
        : `/dev/kvm cannot be opened (${kvm})`;
  return finding(
    'KVM',
    'note',
    why,
    'guests run under emulation (QEMU: -accel tcg), many times slower',
  );
}

function qemuFinding({ qemu }: MachineFacts): Finding {
  if (qemu === null) {
    return finding(
      'QEMU',
      'note',
      'no qemu-system-x86_64 on the path',
      'another front-end is needed, or a path to QEMU',
    );
  }
  return qemu.vhostUserBlk
    ? finding('QEMU', 'ok', `${qemu.version}, with vhost-user-blk-pci`, 'takes disks of vloop')
    : finding(
        'QEMU',
        'note',
        `${qemu.version}, without vhost-user-blk-pci`,
        'this QEMU cannot use vloop: it is built without vhost-user',
      );
}

function runDirectoryFinding({ runDirectory: { path, refusal } }: MachineFacts): Finding {
  return refusal === null
    ? finding(
        'commands',
        'ok',
        `control sockets in ${path}`,
        'vloop list and the other commands find disks there',
      )
    : finding(
        'commands',
        'note',
        refusal,
        'disks take no commands; VLOOP_RUN_DIR or --control=PATH says where else',
      );
}
