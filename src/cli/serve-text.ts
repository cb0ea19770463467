/**
 * What `vloop serve` prints for a person: where each disk is, how it is served and why, and the front-end's
 * command line that attaches it. Pure: disks in, text out.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { OpenDisk } from './disk.ts';
import { quoteCommas } from './run/comma-list.ts';
import { type ServedDisk, socketName } from './served-disk.ts';

function modeOf({ backing }: OpenDisk): string {
  if (backing === null) return 'memory: nothing of it survives vloop';
  return `${backing.direct ? 'direct I/O' : 'buffered I/O'}: ${backing.directReason}`;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `64 MiB`, `1.5 GiB`, `1000 bytes`: no more digits than say the size. */
export function sizeText(bytes: number): string {
  const scale = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${Number((bytes / 1024 ** scale).toFixed(2))} ${UNITS[scale]}`;
}

/** One disk. */
function describe({ open, socket }: ServedDisk): string {
  const { name, choice, transfer, notes } = open;
  const { shape } = open.disk;
  const size = sizeText(shape.capacitySectors * SECTOR_SIZE);
  return [
    `disk    ${name} (${size}, ${shape.readOnly ? 'read-only' : 'read-write'})`,
    ...notes.map((note) => `note    ${note}`),
    `mode    ${modeOf(open)}`,
    `engine  ${choice.engine}: ${choice.engineReason}`,
    ...(transfer === null ? [] : [`data    through ${transfer.name}`]),
    `serial  ${shape.serial}`,
    `socket  ${socketName(socket)}`,
    '',
    '',
  ].join('\n');
}

/** A word as a shell reads it, its commas doubled as QEMU wants them in an option. */
export function qemuWord(option: string, path: string): string {
  const word = `${option}${quoteCommas(path)}`;
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** How to attach them all to one guest. */
function attachLines(disks: readonly ServedDisk[]): string {
  // A disk at an inherited socket has its front-end, or whoever passed the socket knows where it is.
  const named = disks.flatMap(({ socket }) => (socket.path === null ? [] : [socket.path]));
  if (named.length === 0) return '';
  const devices = named.flatMap((path, i) => [
    `-chardev ${qemuWord(`socket,id=vloop${i},path=`, path)}`,
    // OVMF would drive a transitional device as a legacy one.
    `-device vhost-user-blk-pci,disable-legacy=on,chardev=vloop${i}`,
  ]);
  const options = ['-object memory-backend-memfd,id=mem,size=1G,share=on', ...devices];
  return [
    `Attach ${named.length === 1 ? 'it' : 'them'} to a guest (its memory has to be shared):`,
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
