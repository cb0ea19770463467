/**
 * Records test/corpus/: conversations of real front-ends with vloop, through conversation-recorder.ts. Run by
 * hand, when vloop offers something new or a front-end has a new version:
 *   node test/support/record-corpus.ts qemu NAME [ROOT]   QEMU on a boot image; ROOT: of another system
 *   node test/support/record-corpus.ts libblkio NAME      qemu-img and qemu-io of the Debian 13 root
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BoundedProcess, mustRun, waitFor } from './bounded-process.ts';
import { type ConversationHead, conversationText } from './conversation-file.ts';
import { ConversationRecorder } from './conversation-recorder.ts';
import { requireGuestAssets } from './guest-assets.ts';
import { QmpClient } from './guest-qmp.ts';
import { openTrixieRoot, TrixieRoot } from './trixie-root.ts';
import { VloopProcess } from './vloop-process.ts';

const CORPUS = join(import.meta.dirname, '../corpus');
/** As many queues as the session that the corpus is replayed to has. */
const OPTIONS = ['--num-queues=4', '--serial=recorded'];
const BOOT_TIMEOUT_MS = 150_000;
const CLIENT_TIMEOUT_MS = 60_000;

/** Boots, is reset by its own kernel, by the machine, and powers off: told apart by a count on the disk. */
const SCRIPT = `
boots=$(($(cat /boots 2>/dev/null || echo 0) + 1))
echo $boots >/boots
sync
[ $boots = 1 ] && reboot -f
[ $boots = 2 ] && { echo RESET-ME; sleep 600; }
dd if=/dev/urandom of=/written bs=64k count=16 conv=fsync 2>/dev/null
`;

interface Place {
  /** Runs a command where the front-end is installed. */
  argv(command: readonly string[]): readonly string[];
  /** A folder, as this process and as the front-end see it. */
  readonly here: string;
  readonly there: string;
}

function placeIn(root: string | undefined): Place {
  if (root === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'vloop-corpus-'));
    return { argv: (command) => command, here: folder, there: folder };
  }
  const trixie = new TrixieRoot(root);
  const { hostPath } = trixie.makeWorkspace();
  return {
    argv: (command) => trixie.argv(command),
    here: hostPath,
    there: hostPath.slice(root.length),
  };
}

async function record(
  name: string,
  place: Place,
  image: string,
  run: (socket: string) => Promise<Omit<ConversationHead, 'options'>>,
): Promise<void> {
  const backEnd = join(place.here, 'b');
  const vloop = await VloopProcess.serving({
    args: [`--blk-file=${image}`, `--socket-path=${backEnd}`, ...OPTIONS],
  });
  const recorder = new ConversationRecorder(join(place.here, 's'), backEnd);
  try {
    const head = { ...(await run(`${place.there}/s`)), options: OPTIONS };
    await vloop.end();
    const text = conversationText({ head, lines: recorder.lines });
    writeFileSync(join(CORPUS, `${name}.jsonl`), text);
    process.stdout.write(`${name}: ${recorder.lines.length} lines, ${text.length} bytes\n`);
  } finally {
    await vloop.kill();
    recorder.close();
    rmSync(place.here, { recursive: true, force: true });
  }
}

async function recordQemu(name: string, root: string | undefined): Promise<void> {
  const opened = await requireGuestAssets('recording');
  if (!opened.ok) throw new Error(opened.reason);
  const place = placeIn(root);
  const image = join(place.here, 'boot.img');
  copyFileSync(join(opened.assets.boot, 'boot.img'), image);
  writeFileSync(join(place.here, 'script'), SCRIPT);
  await record(name, place, image, async (socket) => {
    const version = await mustRun(
      place.argv(['qemu-system-x86_64', '--version']),
      CLIENT_TIMEOUT_MS,
    );
    const qemu = new BoundedProcess(
      place.argv([
        'qemu-system-x86_64',
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-smp', '2', '-m', '512'],
        ...['-machine', 'q35,memory-backend=mem', '-accel', 'tcg', '-cpu', 'max,cx16=off'],
        ...['-object', 'memory-backend-memfd,id=mem,size=512M,share=on'],
        ...['-fw_cfg', `name=opt/vloop/script,file=${place.there}/script`],
        ...['-serial', `file:${place.there}/serial`],
        ...['-qmp', `unix:${place.there}/qmp,server=on,wait=off`],
        ...['-chardev', `socket,id=disk,path=${socket}`],
        ...['-device', 'vhost-user-blk-pci,chardev=disk,bootindex=1'],
      ]),
    );
    try {
      await waitFor(
        () => `second boot; QEMU said: ${qemu.output}`,
        BOOT_TIMEOUT_MS,
        () => {
          if (qemu.ended) throw new Error(`QEMU ended: ${qemu.output}`);
          return serialOf(place).includes('RESET-ME') || undefined;
        },
      );
      const qmp = await QmpClient.connect(join(place.here, 'qmp'));
      await qmp.execute('system_reset');
      qmp.close();
      await qemu.within(BOOT_TIMEOUT_MS);
    } finally {
      await qemu.kill();
    }
    const frontEnd = version.split('\n')[0]!.replace('QEMU emulator version ', 'QEMU ');
    return { frontEnd, scenario: 'SeaBIOS, GRUB, Linux; reboot, system_reset, power-off' };
  });
}

function serialOf({ here }: Place): string {
  try {
    return readFileSync(join(here, 'serial'), 'latin1');
  } catch {
    return '';
  }
}

async function recordLibblkio(name: string): Promise<void> {
  const opened = await openTrixieRoot();
  if (!opened.ok) throw new Error(opened.reason);
  const place = placeIn(opened.root.path);
  const image = join(place.here, 'disk.img');
  writeFileSync(image, new Uint8Array(4 * 2 ** 20));
  await record(name, place, image, async (socket) => {
    const device = `driver=virtio-blk-vhost-user,path=${socket},cache.direct=on`;
    const run = (command: readonly string[]) => mustRun(place.argv(command), CLIENT_TIMEOUT_MS);
    await run(['qemu-img', 'info', '--image-opts', `${device},read-only=on`]);
    const commands = [
      'write -P 7 0 64k',
      'read -P 7 0 64k',
      'discard 0 64k',
      'write -z 64k 64k',
      'flush',
    ];
    const words = commands.flatMap((command) => ['-c', command]);
    await run(['qemu-io', '--image-opts', device, ...words]);
    const version = await run(['qemu-img', '--version']);
    const packages = await run(['sh', '-c', 'ls /usr/lib/x86_64-linux-gnu/libblkio.so.1.*']);
    return {
      frontEnd: `${packages.trim().split('/').at(-1)}, ${version.split('\n')[0]}`,
      scenario: 'qemu-img info; qemu-io write, read, discard, write zeroes, flush',
    };
  });
}

const [kind, name, root] = process.argv.slice(2);
if (name === undefined || (kind !== 'qemu' && kind !== 'libblkio')) {
  process.stderr.write('record-corpus.ts: qemu NAME [ROOT], or libblkio NAME\n');
  process.exit(2);
}
await (kind === 'qemu' ? recordQemu(name, root) : recordLibblkio(name));
process.exit(0);
