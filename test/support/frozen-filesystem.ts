/**
 * An ext4 of its own that can be frozen (FIFREEZE): writes to it hang in the kernel until it is thawed. Mounted from a
 * loop device in a mount namespace of a shell's own, which thaws and unmounts when its standard input ends, however
 * the test process does: a frozen file system that nobody can reach would hold its device until the next boot.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './waiting.ts';

const WAIT_MS = 20_000;
/** Whatever a test waits for, it does not wait so long. */
const THAW_AFTER_S = 90;

/** $1: the image, $2: where it is mounted. It says what it has done, a word a line. */
const KEEPER = `
mount -o loop "$1" "$2" || exit 1
echo mounted
while read -r word; do
  case $word in
  freeze)
    fsfreeze -f "$2" && echo frozen
    ( sleep ${THAW_AFTER_S}; fsfreeze -u "$2" ) </dev/null >/dev/null 2>&1 &
    watchdog=$!
    ;;
  thaw)
    kill $watchdog
    fsfreeze -u "$2" && echo thawed
    ;;
  esac
done
fsfreeze -u "$2" 2>/dev/null
[ -z "$watchdog" ] || kill $watchdog 2>/dev/null
umount -l "$2"
`;

export class FrozenFilesystem {
  readonly folder: string;
  /** Where the file system is, for those in its namespace. */
  readonly directory: string;
  readonly #keeper: ChildProcess;
  #said = '';
  #ended = false;

  private constructor(folder: string) {
    this.folder = folder;
    this.directory = join(folder, 'mounted');
    mkdirSync(this.directory);
    const shell = ['sh', '-c', KEEPER, 'keeper', this.#image, this.directory];
    // Not in this process's group: Ctrl-C must not end it before it has thawed.
    this.#keeper = spawn('unshare', ['--mount', '--propagation=private', ...shell], {
      detached: true,
    });
    for (const stream of [this.#keeper.stdout, this.#keeper.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#said += chunk.toString();
      });
    }
    this.#keeper.once('error', () => {});
    this.#keeper.once('close', () => {
      this.#ended = true;
    });
  }

  get #image(): string {
    return join(this.folder, 'ext4.img');
  }

  /** The file system, or why there is none. */
  static async mount(sizeBytes: number): Promise<FrozenFilesystem | string> {
    if (process.getuid?.() !== 0) return 'mounting a file system needs root';
    const folder = mkdtempSync(join(tmpdir(), 'vloop-test-frozen-'));
    try {
      const image = join(folder, 'ext4.img');
      writeFileSync(image, '');
      truncateSync(image, sizeBytes);
      execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'pipe' });
      execFileSync('fsfreeze', ['--version'], { stdio: 'pipe' });
      execFileSync('nsenter', ['--version'], { stdio: 'pipe' });
      const made = new FrozenFilesystem(folder);
      await made.#says('mounted').catch(async (error: unknown) => {
        await made.unmount();
        throw error;
      });
      return made;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      return `no ext4 on a loop device: ${error instanceof Error ? error.message : error}`;
    }
  }

  /** What starts a program where the file system is mounted. */
  get through(): string[] {
    return ['nsenter', `--mount=/proc/${this.#keeper.pid}/ns/mnt`, '--'];
  }

  /** A file of it, for those outside the namespace. */
  path(name: string): string {
    return `/proc/${this.#keeper.pid}/root${join(this.directory, name)}`;
  }

  async freeze(): Promise<void> {
    this.#keeper.stdin?.write('freeze\n');
    await this.#says('frozen');
  }

  async thaw(): Promise<void> {
    this.#keeper.stdin?.write('thaw\n');
    await this.#says('thawed');
  }

  async #says(word: string): Promise<void> {
    await eventually(
      () => `"${word}" of a file system; it said: ${this.#said}`,
      WAIT_MS,
      () => {
        if (this.#said.includes(`${word}\n`)) return true;
        if (this.#ended) throw new Error(`the mount has ended: ${this.#said.trim()}`);
        return undefined;
      },
    );
    this.#said = '';
  }

  /** Also when it is frozen. Its files may be open until then, but not much longer: the loop device goes with it. */
  async unmount(): Promise<void> {
    this.#keeper.stdin?.end();
    await eventually(
      () => `end of a mount; it said: ${this.#said}`,
      WAIT_MS,
      () => this.#ended || undefined,
    );
    await eventually('end of the loop device', WAIT_MS, () => {
      const devices = readFileSync('/proc/partitions', 'latin1').match(/\bloop\d+$/gm) ?? [];
      const backing = devices.map(backingOf);
      return backing.some((file) => file.startsWith(this.#image)) ? undefined : true;
    });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The file of a loop device; empty: it has none. */
function backingOf(name: string): string {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'latin1');
  } catch {
    return '';
  }
}
