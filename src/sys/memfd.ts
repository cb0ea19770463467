/**
 * memfd_create(2) and file seals: what a front-end's memory is usually made of.
 */
import { F_ADD_SEALS, F_GET_SEALS } from '../../protocol/linux.ts';
import { declare, valueOrErrno } from './libc.ts';

const memfd_create = declare('int memfd_create(const char*, unsigned int)');
const fcntl = declare('int fcntl(int, int, int)');

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
/** log2 of the page size, from bit 26 on (linux/memfd.h). */
const MFD_HUGE_2MB = 21 << 26;

/** An empty memfd that can be sealed, or -errno. */
export function createMemfd(name: string): number {
  return valueOrErrno(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/** The same of huge pages of 2 MiB; -ENOENT or -ENOSYS where the kernel has none of that size. */
export function createHugeMemfd(name: string): number {
  return valueOrErrno(memfd_create(name, MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
}

/** F_SEAL_* bits, or -errno (-EINVAL: not a file that has seals). */
export function sealsOf(fd: number): number {
  return valueOrErrno(fcntl(fd, F_GET_SEALS, 0));
}

/** 0, or -errno. */
export function addSeals(fd: number, seals: number): number {
  return valueOrErrno(fcntl(fd, F_ADD_SEALS, seals));
}
