/**
 * `vloop run` fills disks into QEMU command lines: what becomes of each kind of memory, machine and place, and what
 * is refused before anything starts.
 */
import { describe, expect, test } from 'vitest';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { commaParts, quoteCommas, splitCommas } from '../../../src/cli/run/comma-list.ts';
import { fillQemuCommand, qemuAt } from '../../../src/cli/run/qemu-command.ts';

const DEVICE = 'vhost-user-blk-pci,disable-legacy=on';
const DISK = `-chardev socket,id=vloop0,path=/d/0.sock -device ${DEVICE},chardev=vloop0`;
const memory = (size: string) => `-object memory-backend-memfd,id=vloop-mem,size=${size},share=on`;

/** Words are separated by single spaces here. */
function filled(command: string, reconnect: string | null = null): string {
  const disks = [{ socketPath: '/d/0.sock', queueCount: null }];
  return fillQemuCommand(command.split(' '), { disks, device: DEVICE, reconnect }).join(' ');
}

function refusal(command: string): string {
  try {
    filled(command);
  } catch (error) {
    expect(error).toBeInstanceOf(OptionsError);
    return (error as OptionsError).message;
  }
  throw new Error(`not refused: ${command}`);
}

describe('where the disks go', () => {
  test.each([
    ['at {disks}', 'qemu-system-x86_64 -m 1G {disks} -nographic', `${DISK} -nographic`],
    ['at the end', 'qemu-system-x86_64 -m 1G -nographic', `-nographic ${memory('1G')}`],
  ])('%s', (_, command, part) => expect(filled(command)).toContain(part));

  test('the whole of a command line', () => {
    expect(filled('qemu-system-x86_64 -M q35,accel=kvm -m 512 {disks} -nographic')).toBe(
      `qemu-system-x86_64 -M q35,accel=kvm,memory-backend=vloop-mem -m 512 ${memory('512M')} ${DISK} -nographic`,
    );
  });

  test('several disks, their queues, a reconnect, a comma in a path', () => {
    const disks = [
      { socketPath: '/a,b/0.sock', queueCount: null },
      { socketPath: '/a,b/1.sock', queueCount: 4 },
    ];
    const filling = { disks, device: 'vhost-user-blk-pci,bus=rp0', reconnect: 'reconnect=1' };
    expect(fillQemuCommand(['./start.sh', '{disks}'], filling)).toEqual([
      './start.sh',
      ...['-chardev', 'socket,id=vloop0,path=/a,,b/0.sock,reconnect=1'],
      ...['-device', 'vhost-user-blk-pci,bus=rp0,chardev=vloop0'],
      ...['-chardev', 'socket,id=vloop1,path=/a,,b/1.sock,reconnect=1'],
      ...['-device', 'vhost-user-blk-pci,bus=rp0,chardev=vloop1,num-queues=4'],
    ]);
  });

  test('names that the command has are not taken', () => {
    const words = filled('qemu-system-x86_64 -chardev null,id=vloop0 -m 1G');
    expect(words).toContain('id=vloop-run0,');
    expect(words).toContain('memory-backend=vloop-run-mem');
    expect(filled(`qemu-system-x86_64 -device {"id":"vloop0"} -m 1G`)).toContain('id=vloop-run0,');
  });

  test.each([
    ['qemu-system-x86_64 {disks} {disks}', '{disks} stands in the command twice'],
    ['sh -c a{disks}', 'a{disks}: {disks} has to be a word of its own'],
    ['qemu-system-x86_64 -daemonize', '-daemonize: vloop run ends the disks when the command ends'],
  ])('%s is refused', (command, words) => expect(refusal(command)).toContain(words));
});

describe('memory that is not there yet is made shared', () => {
  test.each([
    ['-m 1G', '1G'],
    ['-m 512', '512M'],
    ['-m 1.5G', '1.5G'],
    ['--m 1G', '1G'],
    ['-m size=2G,slots=2,maxmem=4G', '2G'],
    ['-m 1G,slots=2,maxmem=4G', '1G'],
    ['-m 1G -m slots=2,maxmem=4G', '1G'],
    ['-m 1G -m 2G', '2G'],
    ['-m 0', '128M'],
    ['-machine q35,memory.size=768', '768M'],
    ['-smp 2', '128M'],
  ])('%s', (options, size) => {
    expect(filled(`qemu-system-x86_64 ${options}`)).toContain(` ${memory(size)} `);
  });

  test.each([
    ['-M q35', '-M q35,memory-backend=vloop-mem'],
    ['-machine type=q35,accel=tcg', '-machine type=q35,accel=tcg,memory-backend=vloop-mem'],
    ['--machine q35', '--machine q35,memory-backend=vloop-mem'],
    ['-M q35 -machine accel=tcg', '-M q35 -machine accel=tcg,memory-backend=vloop-mem'],
    ['-smp 2', '-machine memory-backend=vloop-mem'],
  ])('%s names it', (options, words) => {
    expect(filled(`qemu-system-x86_64 -m 1G ${options}`)).toContain(words);
  });

  test('a memory backend for something else is not the machine’s', () => {
    const options = '-object memory-backend-ram,id=dimm,size=1G -device pc-dimm,memdev=dimm';
    expect(filled(`qemu-system-x86_64 -m 1G ${options}`)).toContain(memory('1G'));
  });

  test('options of a program in front of QEMU are its own', () => {
    const command = 'numactl -m 0 /usr/bin/qemu-system-x86_64 -m 1G';
    expect(filled(command)).toContain(memory('1G'));
    expect(qemuAt(command.split(' '))).toBe(3);
  });

  test('a script without -m has its memory inside', () => {
    expect(filled('./start.sh -x')).toBe(`./start.sh -x ${DISK}`);
    expect(filled('./start.sh -m 1G')).toContain(memory('1G'));
  });
});

describe('memory that is there stays, or is refused when it is not shared', () => {
  const command = (object: string, rest = '-machine q35,memory-backend=m0') =>
    `qemu-system-x86_64 -m 1G ${rest} -object ${object}`;

  test.each([
    'memory-backend-memfd,id=m0,size=1G,share=on',
    'memory-backend-memfd,id=m0,size=1G',
    'memory-backend-file,id=m0,size=1G,mem-path=/dev/shm/m,share=on',
    'memory-backend-ram,share=true,id=m0,size=1G',
    'memory-backend-ram,share,id=m0,size=1G',
    'qom-type=memory-backend-ram,share=on,id=m0,size=1G',
    '{"qom-type":"memory-backend-ram","id":"m0","share":true}',
    'memory-backend-ram,id=other,size=1G',
  ])('%s stays', (object) => expect(filled(command(object))).toBe(`${command(object)} ${DISK}`));

  test.each([
    'memory-backend-ram,id=m0,size=1G',
    'memory-backend-file,id=m0,size=1G,mem-path=/dev/shm/m',
    'memory-backend-file,id=m0,size=1G,mem-path=/dev/shm/m,share=off',
    'memory-backend-memfd,id=m0,size=1G,share=off',
    '{"qom-type":"memory-backend-ram","id":"m0"}',
  ])('%s is refused', (object) => {
    expect(refusal(command(object))).toContain('id=m0: guest memory without share=on');
  });

  test('of NUMA nodes, every one', () => {
    const nodes = (share: string) =>
      command(
        `memory-backend-memfd,id=n0,size=1G -object memory-backend-ram,id=n1,size=1G${share}`,
        '-numa node,memdev=n0 -numa node,memdev=n1',
      );
    expect(filled(nodes(',share=on'))).toBe(`${nodes(',share=on')} ${DISK}`);
    expect(refusal(nodes(''))).toContain('memory-backend-ram,id=n1');
  });

  test('-mem-path', () => {
    expect(refusal('qemu-system-x86_64 -m 1G -mem-path /dev/hugepages')).toContain('-mem-path');
  });
});

test('lists with commas, both ways', () => {
  expect(splitCommas('a,,b,c,,,d')).toEqual(['a,b', 'c,', 'd']);
  expect(commaParts('x=1,y,z=a=b')).toEqual([
    { key: 'x', value: '1' },
    { key: 'y', value: null },
    { key: 'z', value: 'a=b' },
  ]);
  expect(splitCommas(`${quoteCommas('a,b,')},c`)).toEqual(['a,b,', 'c']);
});
