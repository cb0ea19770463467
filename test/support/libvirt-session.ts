/**
 * libvirt's QEMU driver as a test uses it: Debian's packages, unpacked (libvirt.sh), in a virsh of their own that has the
 * driver inside (qemu:///embed), without a daemon. It runs in namespaces of its own, so that the machine's libvirt, if
 * there is one, is not touched; all of it, QEMU too, ends with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, waitFor } from './bounded-process.ts';

const INSTALL_TIMEOUT_MS = 600_000;
/** The first machine waits until libvirt has asked QEMU what it can do: 5 s alone. */
const COMMAND_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 30_000;
/** Nothing of this is there in a namespace: daemons, other users, control groups, security modules. */
const CONFIGURATION = `
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
`;

export type LibvirtOrReason = { ok: true; tree: string } | { ok: false; reason: string };

/** Where libvirt is unpacked, or the reason why it is not, said once per test file. */
export async function requireLibvirt(what: string): Promise<LibvirtOrReason> {
  const script = join(import.meta.dirname, 'libvirt.sh');
  const unpacked = await run(['bash', script], INSTALL_TIMEOUT_MS);
  const tree = unpacked.stdout.trim().split('\n').at(-1) ?? '';
  let failed = unpacked;
  if (unpacked.status === 0 && tree !== '') {
    failed = await run(entered(tree, ['virsh', '--version']), COMMAND_TIMEOUT_MS);
    if (failed.status === 0) return { ok: true, tree };
  }
  const reason = failed.stderr.trim().split('\n').at(-1) || `it ended with ${failed.status}`;
  process.stderr.write(`skipped: ${what}: ${reason}\n`);
  return { ok: false, reason };
}

function entered(tree: string, command: readonly string[]): string[] {
  const enter = join(import.meta.dirname, 'libvirt-enter.sh');
  const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--mount-proc'];
  return ['unshare', ...namespaces, '--kill-child=KILL', 'bash', enter, tree, ...command];
}

export class LibvirtSession {
  readonly #root: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #gone = false;
  #stdout = '';
  #stderr = '';
  #commands = 0;

  /** `root`: where the driver keeps its own files; QEMU's log is in there. */
  constructor(tree: string, root: string) {
    this.#root = root;
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/qemu.conf'), CONFIGURATION);
    const virsh = ['virsh', '--quiet', '--connect', `qemu:///embed?root=${root}`];
    const command = ['--pdeathsig', 'KILL', '--', ...entered(tree, virsh)];
    this.#child = spawn('setpriv', command, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString();
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    // Whoever writes to a virsh that has ended sees it end.
    this.#child.stdin?.on('error', () => {});
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status) => {
        this.#gone = true;
        resolve(status);
      });
    });
    this.#ended.catch(() => {});
  }

  /** Runs a command of virsh; what it says, or an error with what it complains of. */
  async run(command: string): Promise<string> {
    const mark = `MARK-${++this.#commands}`;
    const from = this.#stdout.length;
    const complaintsFrom = this.#stderr.length;
    this.#child.stdin?.write(`${command}\necho ${mark}\n`);
    // Quiet, it puts the next prompt on the same line.
    const end = new RegExp(`^${mark}(?!\\d)`, 'm');
    const said = await waitFor(
      () => `end of virsh's "${command}"; ${this.story}`,
      COMMAND_TIMEOUT_MS,
      () => {
        if (this.#gone) throw new Error(`virsh ended at "${command}"; ${this.story}`);
        const text = this.#stdout.slice(from);
        return end.test(text) ? text : undefined;
      },
    );
    const complaint = /^error: .*$/ms.exec(this.#stderr.slice(complaintsFrom));
    if (complaint) throw new Error(`virsh's "${command}": ${complaint[0].trim()}\n${this.story}`);
    // The first line is the command as readline shows it, behind the prompt or not.
    const lines = said.slice(0, said.search(end)).split('\n').slice(1);
    return lines
      .filter((line) => !line.startsWith('virsh #'))
      .join('\n')
      .trim();
  }

  /** Everything that virsh, the driver and QEMU have said. */
  get story(): string {
    const logs = join(this.#root, 'log/qemu');
    let qemu = '';
    try {
      for (const name of readdirSync(logs)) qemu += readFileSync(join(logs, name), 'utf8');
    } catch {
      qemu = '(no machine was started)';
    }
    return `virsh: ${this.#stdout}${this.#stderr}\nQEMU: ${qemu.slice(-6000)}`;
  }

  /** QEMU's command line as libvirt made it. */
  get qemuCommand(): string {
    return this.story.slice(this.story.lastIndexOf('starting up libvirt'));
  }

  /** As a user leaves virsh. */
  async quit(): Promise<number | null> {
    this.#child.stdin?.end('quit\n');
    return await waitFor(
      () => `end of virsh; ${this.story}`,
      END_TIMEOUT_MS,
      async () => (this.#gone ? await this.#ended : undefined),
    );
  }

  /** Everything in the namespace ends. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended.catch(() => {});
  }
}

/** `text` with each first string replaced by its second; throws when one is not there exactly once. */
export function filledIn(text: string, values: ReadonlyArray<readonly [string, string]>): string {
  let filled = text;
  for (const [from, to] of values) {
    const parts = filled.split(from);
    if (parts.length !== 2)
      throw new Error(`"${from}" is there ${parts.length - 1} times, not once`);
    filled = parts.join(to);
  }
  return filled;
}
