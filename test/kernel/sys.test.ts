/**
 * The rooms' system calls against the kernel itself: values or -errno, fds over sockets, memory that two
 * views share, locks, readiness.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errnoName } from '../../protocol/errno.ts';
import {
  EADDRINUSE,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EINVAL,
  ENOENT,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  TMPFS_MAGIC,
} from '../../protocol/linux.ts';
import { inspectFile, lockFile, openFile } from '../../src/sys/block-file.ts';
import { adoptEventfd, createEventfd, drainEventfd, signalEventfd } from '../../src/sys/eventfd.ts';
import { addSeals, createMemfd, sealsOf } from '../../src/sys/memfd.ts';
import {
  adviseHugePages,
  copyMemory,
  mapAnonymous,
  mapShared,
  unmap,
  viewMemory,
  zeroMemory,
} from '../../src/sys/mmap.ts';
import { watchReadable } from '../../src/sys/poll.ts';
import {
  acceptConnection,
  classifySocket,
  connectTo,
  FdSocket,
  listenAt,
} from '../../src/sys/unix-socket.ts';
import { eventually } from '../support/waiting.ts';

let directory: string;
const open: number[] = [];

/** Closed at the end of the test. */
function own(fd: number): number {
  expect(fd).toBeGreaterThanOrEqual(0);
  open.push(fd);
  return fd;
}

/** Whether the mapping that an address lies in has the kernel's flag for it (VmFlags: hg). */
function wantsHugePages(address: number): boolean {
  const mappings = readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const mapping = mappings.find((text) => {
    const [start, end] = text.split(' ', 1)[0]!.split('-');
    return address >= Number.parseInt(start!, 16) && address < Number.parseInt(end!, 16);
  });
  const flags = /^VmFlags: (.*)$/m.exec(mapping ?? '');
  if (flags === null) throw new Error(`no mapping with flags at 0x${address.toString(16)}`);
  return flags[1]!.split(' ').includes('hg');
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
});

afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  rmSync(directory, { recursive: true });
});

function socketPair(): [FdSocket, FdSocket] {
  const path = join(directory, 's');
  const listening = own(listenAt(path));
  const client = own(connectTo(path));
  return [new FdSocket(client, 65_536), new FdSocket(own(acceptConnection(listening)), 65_536)];
}

test('errno has a name, whatever its sign', () => {
  expect([errnoName(2), errnoName(-2), errnoName(4095)]).toEqual([
    'ENOENT',
    'ENOENT',
    'errno 4095',
  ]);
});

describe('eventfds', () => {
  test('count, are drained, and say when they are empty', () => {
    const fd = own(createEventfd());
    expect(drainEventfd(fd)).toBe(-EAGAIN);
    for (let i = 0; i < 3; i++) expect(signalEventfd(fd)).toBe(0);
    expect(drainEventfd(fd)).toBe(3);
    expect(drainEventfd(fd)).toBe(-EAGAIN);
  });

  test('are told from other files', () => {
    expect(adoptEventfd(own(createEventfd()))).toBe(true);
    expect(adoptEventfd(own(createMemfd('vloop-test')))).toBe(false);
  });

  test('a closed one is -EBADF', () => {
    expect(signalEventfd(1_000_000)).toBe(-EBADF);
  });

  test('wake a watch once each time it is armed, until it is stopped', async () => {
    const fd = own(createEventfd());
    let woken = 0;
    const watch = watchReadable(fd, () => {
      woken++;
    });
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    signalEventfd(fd);
    for (let i = 1; i <= 3; i++) {
      await eventually('wake-up', 5000, () => woken === i || undefined);
      // Still readable: nobody has drained it.
      await pause();
      expect(woken).toBe(i);
      watch.arm();
      watch.arm();
    }
    await eventually('wake-up', 5000, () => woken === 4 || undefined);
    drainEventfd(fd);
    watch.arm();
    await pause();
    expect(woken).toBe(4);
    watch.stop();
    watch.stop();
    watch.arm();
    signalEventfd(fd);
    await pause();
    expect(woken).toBe(4);
  });
});

describe('memory', () => {
  test('two mappings of one memfd are the same bytes', () => {
    const fd = own(createMemfd('vloop-test'));
    ftruncateSync(fd, 8192);
    const first = mapShared(fd, 0, 8192);
    const second = mapShared(fd, 4096, 4096);
    const bytes = new Uint8Array(viewMemory(first, 8192));
    const others = new Uint8Array(viewMemory(second, 4096));
    bytes[4096] = 7;
    expect(others[0]).toBe(7);
    copyMemory(second + 100, first + 4096, 1);
    expect(bytes[4196]).toBe(7);
    zeroMemory(second, 4096);
    expect(bytes[4096]).toBe(0);
    expect([unmap(first, 8192), unmap(second, 4096)]).toEqual([0, 0]);
  });

  test('what cannot be mapped is -errno, not an exception', () => {
    const fd = own(createMemfd('vloop-test'));
    expect(mapShared(fd, 1, 4096)).toBe(-EINVAL);
    expect(mapShared(fd, 0, 0)).toBe(-EINVAL);
    expect(mapShared(1_000_000, 0, 4096)).toBe(-EBADF);
    expect(mapAnonymous(2 ** 52)).toBeLessThan(0);
  });

  test('anonymous memory is zeroed, and page-aligned', () => {
    const address = mapAnonymous(10_000);
    expect(address % 4096).toBe(0);
    expect(new Uint8Array(viewMemory(address, 10_000)).every((byte) => byte === 0)).toBe(true);
    unmap(address, 10_000);
  });

  test('huge pages are asked for, of this mapping alone', () => {
    const sizeBytes = 4 * 2 ** 20;
    const [plain, advised] = [mapAnonymous(sizeBytes), mapAnonymous(sizeBytes)];
    adviseHugePages(advised, sizeBytes);
    expect([plain, advised].map(wantsHugePages)).toEqual([false, true]);
    expect([unmap(plain, sizeBytes), unmap(advised, sizeBytes)]).toEqual([0, 0]);
  });

  test('seals are set, read, and hold', () => {
    const fd = own(createMemfd('vloop-test'));
    ftruncateSync(fd, 4096);
    expect(addSeals(fd, F_SEAL_SHRINK | F_SEAL_GROW)).toBe(0);
    expect(sealsOf(fd)).toBe(F_SEAL_SHRINK | F_SEAL_GROW);
    expect(() => ftruncateSync(fd, 0)).toThrow(/EPERM/);
  });
});

describe('sockets', () => {
  test('fds cross with the first byte, and are new ones', () => {
    const [client, server] = socketPair();
    const fd = own(createEventfd());
    expect(client.send(Uint8Array.of(1, 2, 3), [fd, fd])).toBe(0);
    const fds: number[] = [];
    expect(server.receive(1, fds)).toEqual(Uint8Array.of(1));
    expect(fds).toHaveLength(2);
    for (const received of fds) {
      own(received);
      expect(received).not.toBe(fd);
      expect(adoptEventfd(received)).toBe(true);
    }
    const later: number[] = [];
    expect(server.receive(100, later)).toEqual(Uint8Array.of(2, 3));
    expect(later).toEqual([]);
  });

  test('253 fds come whole', () => {
    const [client, server] = socketPair();
    const fd = own(createEventfd());
    client.send(Uint8Array.of(1), new Array<number>(253).fill(fd));
    const fds: number[] = [];
    server.receive(1, fds);
    for (const received of fds) own(received);
    expect([fds.length, server.truncated]).toEqual([253, false]);
  });

  test('nothing there is -EAGAIN; the end is no bytes', () => {
    const [client, server] = socketPair();
    expect(server.receive(10, [])).toBe(-EAGAIN);
    closeSync(open.splice(open.indexOf(client.fd), 1)[0]!);
    expect(server.receive(10, [])).toHaveLength(0);
  });

  test('a peer that does not read is -EAGAIN in the end', () => {
    const [client] = socketPair();
    const block = new Uint8Array(60_000);
    let result = 0;
    for (let i = 0; i < 1000 && result === 0; i++) result = client.send(block);
    expect(result).toBe(-EAGAIN);
  });

  test('listening, connecting and their failures', () => {
    const path = join(directory, 's');
    expect(connectTo(path)).toBe(-ENOENT);
    const listening = own(listenAt(path));
    expect(listenAt(path)).toBe(-EADDRINUSE);
    expect(acceptConnection(listening)).toBe(-EAGAIN);
    expect(classifySocket(listening)).toBe('listening');
    expect(classifySocket(own(connectTo(path)))).toBe('connected');
    expect(classifySocket(own(createEventfd()))).toBe('not a unix socket');
    closeSync(open.splice(open.indexOf(listening), 1)[0]!);
    expect(connectTo(path)).toBe(-ECONNREFUSED);
  });
});

describe('files', () => {
  test('kinds, sizes and locks', () => {
    const path = join(directory, 'image');
    writeFileSync(path, new Uint8Array(5000));
    const fd = own(openFile(path, { readOnly: false, direct: false }));
    expect(inspectFile(fd, path)).toMatchObject({
      kind: 'regular',
      sizeBytes: 5000,
      logicalSectorBytes: null,
    });
    expect(
      inspectFile(own(openFile(directory, { readOnly: true, direct: false })), directory),
    ).toMatchObject({ kind: 'directory' });
    const other = own(openFile(path, { readOnly: false, direct: false }));
    expect(lockFile(fd, true)).toBe(0);
    expect(lockFile(fd, true), 'its own lock is no obstacle').toBe(0);
    expect(lockFile(other, true)).toBe(-EAGAIN);
    expect(lockFile(other, false)).toBe(-EAGAIN);
    expect(fstatSync(fd).size).toBe(5000);
  });

  test('whether reads can be tried without waiting: yes on a disk, no in memory', () => {
    for (const folder of [directory, '/dev/shm']) {
      const path = join(mkdtempSync(join(folder, 'vloop-test-')), 'image');
      writeFileSync(path, new Uint8Array(4096));
      const fd = own(openFile(path, { readOnly: true, direct: false }));
      const facts = inspectFile(fd, path);
      expect(facts.readsWithoutWaiting, folder).toBe(facts.fileSystemMagic !== TMPFS_MAGIC);
      rmSync(dirname(path), { recursive: true });
    }
  });

  test('readers share', () => {
    const path = join(directory, 'image');
    writeFileSync(path, '');
    const [first, second] = [0, 1].map(() =>
      own(openFile(path, { readOnly: true, direct: false })),
    );
    expect([lockFile(first!, false), lockFile(second!, false)]).toEqual([0, 0]);
  });
});
