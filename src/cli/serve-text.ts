/**
 * What `vloop serve` prints for a person: where each disk is, how it is served and why, and the front-end's
 * command line that attaches it. Pure: disks in, text out.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { OpenDisk } from './disk.ts';
import { type ServedDisk, socketName } from './served-disk.ts';

function modeOf({ backing }: OpenDisk): string {
  if (backing === null) return 'memory: nothing of it survives vloop';
  return `${backing.direct ? 'direct I/O' : 'buffered I/O'}: ${backing.directReason}`;
}

/** One disk. */
function describe({ open, socket }: ServedDisk): string {
  const { name, choice, transfer } = open;
  const { shape } = open.disk;
  const gib = (shape.capacitySectors * SECTOR_SIZE) / 2 ** 30;
  return [
    `disk    ${name} (${gib.toFixed(gib < 10 ? 2 : 0)} GiB, ${shape.readOnly ? 'read-only' : 'read-write'})`,
    `mode    ${modeOf(open)}`,
    `engine  ${choice.engine}: ${choice.engineReason}`,
    ...(transfer === null ? [] : [`data    through ${transfer.name}`]),
    `serial  ${shape.serial}`,
    `socket  ${socketName(socket)}`,
    '',
    '',
  ].join('\n');
}

/** How to attach them all to one guest. */
function attachLines(disks: readonly ServedDisk[]): string {
  const devices = disks.flatMap(({ socket }, i) => [
    `-chardev socket,id=vloop${i},path=${socketName(socket)}`,
    `-device vhost-user-blk-pci,chardev=vloop${i}`,
  ]);
  const options = ['-object memory-backend-memfd,id=mem,size=1G,share=on', ...devices];
  return [
    `Attach ${disks.length === 1 ? 'it' : 'them'} to a guest (its memory has to be shared):`,
    '',
    '  qemu-system-x86_64 -m 1G -machine q35,memory-backend=mem \\',
    `    ${options.join(' \\\n    ')}`,
    '',
    '',
  ].join('\n');
}

/** All that is printed once the disks can be used; to a program that started vloop only where the page is. */
export function startText(
  disks: readonly ServedDisk[],
  pageLine: string,
  friendly: boolean,
): string {
  return friendly ? `${disks.map(describe).join('')}${pageLine}${attachLines(disks)}` : pageLine;
}

/** What a service manager shows of the process. */
export function statusText(disks: readonly ServedDisk[]): string {
  return `serving ${disks.map(({ name, socket }) => `${name} at ${socketName(socket)}`).join(', ')}`;
}
