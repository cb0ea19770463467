/**
 * Linux UAPI constants and structures that more than one room names: the errors that code asks for, open, mmap, fallocate,
 * RWF, poll, file seals, locks, statx. x86-64 values. Data only.
 */
import { linuxErrno } from './errno.ts';
import { struct } from './layout.ts';

export const {
  EPERM,
  ENOENT,
  EINTR,
  EIO,
  EBADF,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT,
  EBUSY,
  ENODEV,
  EINVAL,
  ENOSPC,
  EROFS,
  EPIPE,
  ENOSYS,
  ETIME,
  EPROTO,
  EOPNOTSUPP,
  EADDRINUSE,
  ECONNRESET,
  ECONNREFUSED,
  EALREADY,
  ECANCELED,
} = linuxErrno.values;

export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_DIRECT = 0o40000;
export const O_CLOEXEC = 0o2000000;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 16;

export const RWF_DSYNC = 2;
export const RWF_NOWAIT = 8;

export const POLLIN = 1;

export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_OFD_SETLK = 37;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
export const F_GET_SEALS = 1034;
export const F_ADD_SEALS = 1033;
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;

/** fcntl(F_OFD_SETLK) argument. */
export const flock = struct('flock', 'asm-generic/fcntl.h', 32, {
  l_type: ['u16', 'F_RDLCK, F_WRLCK or F_UNLCK'],
  l_whence: ['u16', 'SEEK_SET'],
  pad: ['u32', 'padding'],
  l_start: ['u64', 'first byte'],
  l_len: ['u64', '0 = to the end, however long'],
  l_pid: ['i32', '0 for an open-file-description lock'],
  pad2: ['u32', 'padding'],
});

/** The part of struct statx that vloop reads. */
export const statx = struct('statx', 'linux/stat.h', 256, {
  stx_mask: ['u32', 'what the kernel filled in'],
  stx_blksize: ['u32', 'preferred I/O size'],
  unread: ['bytes[144]', 'times, owner, sizes'],
  stx_dio_mem_align: ['u32', 'memory alignment of direct I/O; 0 = direct I/O impossible'],
  stx_dio_offset_align: ['u32', 'file offset alignment of direct I/O'],
  spare: ['bytes[96]', 'reserved'],
});
export const STATX_DIOALIGN = 0x2000;
export const AT_EMPTY_PATH = 0x1000;

export const BLKSSZGET = 0x1268;
export const BLKGETSIZE64 = 0x80081272;

export const TMPFS_MAGIC = 0x01021994;
export const HUGETLBFS_MAGIC = 0x958458f6;

export const iovec = struct('iovec', 'linux/uio.h', 16, {
  iov_base: ['u64', 'address'],
  iov_len: ['u64', 'length in bytes'],
});

/** struct msghdr of recvmsg(2) and sendmsg(2), x86-64 glibc. */
export const msghdr = struct('msghdr', 'sys/socket.h', 56, {
  msg_name: ['u64', 'address'],
  msg_namelen: ['u32', 'its size'],
  pad0: ['u32', 'padding'],
  msg_iov: ['u64', 'iovec array'],
  msg_iovlen: ['u64', 'its length'],
  msg_control: ['u64', 'ancillary data'],
  msg_controllen: ['u64', 'its size'],
  msg_flags: ['u32', 'MSG_* on return'],
  pad1: ['u32', 'padding'],
});

/** One ancillary message; its payload follows, and the next starts 8-aligned. */
export const cmsghdr = struct('cmsghdr', 'sys/socket.h', 16, {
  cmsg_len: ['u64', 'header and payload bytes'],
  cmsg_level: ['i32', 'SOL_SOCKET'],
  cmsg_type: ['i32', 'SCM_RIGHTS'],
});

export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
export const SCM_RIGHTS = 1;
export const MSG_CTRUNC = 8;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
/** sockaddr_un.sun_path, the terminating NUL included. */
export const UNIX_PATH_MAX = 108;

/** Packed on x86-64. */
export const epollEvent = struct(
  'epoll_event',
  'linux/eventpoll.h',
  12,
  {
    events: ['u32', 'EPOLL*'],
    data: ['u64', 'given back with the event'],
  },
  { packed: true },
);
export const EPOLLIN = 1;
export const EPOLLET = 0x80000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;

/** One operation of Linux AIO. */
export const iocb = struct('iocb', 'linux/aio_abi.h', 64, {
  aio_data: ['u64', 'given back in the io_event'],
  aio_key: ['u32', 'for the kernel'],
  aio_rw_flags: ['u32', 'RWF_*'],
  aio_lio_opcode: ['u16', 'IOCB_CMD_*'],
  aio_reqprio: ['u16', 'priority'],
  aio_fildes: ['u32', 'file descriptor'],
  aio_buf: ['u64', 'buffer or iovec array'],
  aio_nbytes: ['u64', 'bytes, or iovecs'],
  aio_offset: ['u64', 'offset into the file'],
  aio_reserved2: ['u64', 'reserved'],
  aio_flags: ['u32', 'IOCB_FLAG_*'],
  aio_resfd: ['u32', 'eventfd to signal'],
});

export const ioEvent = struct('io_event', 'linux/aio_abi.h', 32, {
  data: ['u64', 'aio_data of the iocb'],
  obj: ['u64', 'the iocb'],
  res: ['u64', 'result, or -errno'],
  res2: ['u64', 'second result'],
});

/** What io_setup maps at the context's address; the io_events follow. */
export const aioRing = struct('aio_ring', 'fs/aio.c', 32, {
  id: ['u32', 'for the kernel'],
  nr: ['u32', 'number of io_events'],
  head: ['u32', 'where user space reads'],
  tail: ['u32', 'where the kernel writes'],
  magic: ['u32', 'AIO_RING_MAGIC'],
  compat_features: ['u32', ''],
  incompat_features: ['u32', '0, or the layout is another'],
  header_length: ['u32', 'bytes before the io_events'],
});
export const AIO_RING_MAGIC = 0xa10a10a1;
export const IOCB_CMD_PREAD = 0;
export const IOCB_CMD_PWRITE = 1;
export const IOCB_CMD_FDSYNC = 3;
export const IOCB_CMD_PREADV = 7;
export const IOCB_CMD_PWRITEV = 8;
export const IOCB_FLAG_RESFD = 1;
