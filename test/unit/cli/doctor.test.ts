/**
 * What facts of a machine come to, for every kind of machine that there is not here; and who is seen to hold a lock.
 */
import { describe, expect, test } from 'vitest';
import { type MachineFacts, machineFindings } from '../../../src/cli/doctor/findings.ts';
import { lockOf } from '../../../src/cli/doctor/image-findings.ts';
import { limitIn } from '../../../src/cli/doctor/machine-facts.ts';
import { doctorText } from '../../../src/cli/verbs/doctor.ts';
import { doctorReport } from '../../../src/control/schema/doctor-report.ts';
import { complaint } from '../../../src/control/validate.ts';

const good: MachineFacts = {
  node: '24.0.0',
  uring: 'ok',
  uringDisabled: 0,
  filtered: false,
  aio: 'ok',
  openFiles: 65_536,
  lockedBytes: Number.POSITIVE_INFINITY,
  cpuCount: 8,
  memfd: 'ok',
  hugePagesFree: 16,
  kvm: 'ok',
  qemu: { version: '10.0', vhostUserBlk: true },
  libvirt: true,
  systemd: true,
  runDirectory: { path: '/run/vloop', refusal: null },
};

function about(subject: string, facts: Partial<MachineFacts>) {
  return machineFindings({ ...good, ...facts }).find((finding) => finding.subject === subject)!;
}

test('a machine that has everything gets no note and no problem, each finding with a meaning', () => {
  const findings = machineFindings(good);
  expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
  expect(findings.every(({ says, means }) => says !== '' && means !== '')).toBe(true);
  expect(complaint(doctorReport, { well: true, findings }, '')).toBeNull();
  expect(complaint(doctorReport, { well: true, findings: [{ subject: 'x' }] }, '')).not.toBeNull();
});

describe('io_uring refused', () => {
  test.each([
    [{ uring: 'EPERM', uringDisabled: 2 }, 'kernel.io_uring_disabled is 2', 'sysctl'],
    [{ uring: 'EPERM', filtered: true }, 'a seccomp filter', 'seccomp profile'],
    [{ uring: 'ENOSYS', filtered: true }, 'a seccomp filter', 'seccomp profile'],
    [{ uring: 'ENOSYS', uringDisabled: null }, 'built without it', 'newer kernel'],
    [{ uring: 'ENOMEM' }, 'cannot be set up', 'newer kernel'],
  ])('%o: says why, what is used instead, what helps', (facts, why, remedy) => {
    const { level, says, means } = about('io_uring', facts);
    expect(level).toBe('note');
    expect(says).toContain(`refused (${facts.uring})`);
    expect(says).toContain(why);
    expect(means).toContain('Linux AIO');
    expect(means).toContain(remedy);
  });

  test('makes Linux AIO matter', () => {
    expect(about('Linux AIO', { uring: 'EPERM' }).means).toBe('used for direct I/O');
    expect(about('Linux AIO', { aio: 'EAGAIN' })).toMatchObject({
      level: 'ok',
      means: 'not needed here',
    });
    const none = about('Linux AIO', { uring: 'EPERM', aio: 'EAGAIN' });
    expect(none).toMatchObject({
      level: 'note',
      says: 'refused (EAGAIN): fs.aio-max-nr is used up',
    });
  });
});

test.each([
  ['open files', { openFiles: 256 }, 'note', 'at most 256'],
  ['open files', { openFiles: 64 }, 'problem', 'at most 64'],
  ['open files', { openFiles: Number.POSITIVE_INFINITY }, 'ok', 'any number'],
  ['locked memory', { lockedBytes: 65_536 }, 'ok', '64 KiB'],
  ['CPUs', { cpuCount: 1 }, 'note', '1 for this process'],
  ['memfd', { memfd: 'ENOSYS' }, 'problem', 'refused (ENOSYS)'],
  ['huge pages', { hugePagesFree: null }, 'ok', 'none reserved'],
  ['KVM', { kvm: 'ENOENT' }, 'note', 'no /dev/kvm'],
  ['KVM', { kvm: 'EACCES' }, 'note', 'group kvm'],
  ['KVM', { kvm: 'EBUSY' }, 'note', 'EBUSY'],
  ['QEMU', { qemu: null }, 'note', 'no qemu-system-x86_64'],
  ['QEMU', { qemu: { version: '1.0', vhostUserBlk: false } }, 'note', 'without vhost-user-blk-pci'],
  ['libvirt', { libvirt: false }, 'ok', 'not found'],
  ['systemd', { systemd: false }, 'ok', 'does not run this machine'],
  ['commands', { runDirectory: { path: '/x', refusal: '/x belongs to user 7' } }, 'note', 'user 7'],
] as const)('%s with %o is a %s', (subject, facts, level, says) => {
  const found = about(subject, facts);
  expect(found.level).toBe(level);
  expect(found.says).toContain(says);
});

test('the text has a line for what was found and one for what it means', () => {
  const text = doctorText([{ subject: 'KVM', level: 'note', says: 'none', means: 'slow' }]);
  expect(text).toBe('note     KVM  none\n              → slow\n');
});

test('limits and locks are read as the kernel writes them', () => {
  const limits = 'Max open files            1024                 524288               files     \n';
  expect(limitIn(limits, 'Max open files')).toBe(1024);
  expect(limitIn('Max locked memory  unlimited  unlimited  bytes\n', 'Max locked memory')).toBe(
    Number.POSITIVE_INFINITY,
  );
  expect(lockOf('pos:\t0\nlock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:14 0 EOF\n')).toBe('write');
  expect(lockOf('lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:14 0 EOF\n')).toBe('read');
  expect(lockOf('lock:\t1: POSIX  ADVISORY  WRITE 12 fe:00:14 0 EOF\n')).toBeNull();
  expect(lockOf('pos:\t0\nflags:\t02\n')).toBeNull();
});
