/**
 * A Debian trixie root (made by trixie.sh) as a place to run commands in: `argv` wraps a command so that it sees the
 * root as `/`. A workspace is a directory under the root's /tmp, so that sockets and images have a path on both
 * sides. Where the root cannot be made, `openTrixieRoot` says why, for the test's skip message.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BoundedProcess, mustRun, run } from './bounded-process.ts';

const SCRIPT = join(import.meta.dirname, 'trixie.sh');
const BUILD_TIMEOUT_MS = 900_000;
const COMMAND_TIMEOUT_MS = 60_000;
/** sun_path of a unix socket address holds 108 bytes, the closing zero among them. */
const SOCKET_PATH_LIMIT = 107;

export type OpenedRoot = { ok: true; root: TrixieRoot } | { ok: false; reason: string };

export class TrixieRoot {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The command line, on the host, that runs `command` inside. Only execs: the process id is the command's. */
  argv(command: readonly string[]): string[] {
    if (process.getuid?.() === 0) return ['chroot', this.path, ...command];
    // A user may not make device nodes; the host's are seen through a mount that ends with its namespace.
    const enter = 'mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"';
    return ['unshare', '--map-root-user', '--mount', 'sh', '-c', enter, this.path, ...command];
  }

  start(command: readonly string[]): BoundedProcess {
    return new BoundedProcess(this.argv(command));
  }

  /** Runs a command that has to succeed and gives its standard output. */
  mustRun(command: readonly string[], timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
    return mustRun(this.argv(command), timeoutMs);
  }

  run(command: readonly string[], timeoutMs = COMMAND_TIMEOUT_MS) {
    return run(this.argv(command), timeoutMs);
  }

  makeWorkspace(): Workspace {
    return new Workspace(this, mkdtempSync(join(this.path, 'tmp', 'v-')));
  }
}

export class Workspace {
  readonly root: TrixieRoot;
  readonly hostPath: string;

  constructor(root: TrixieRoot, hostPath: string) {
    this.root = root;
    this.hostPath = hostPath;
  }

  onHost(name: string): string {
    return join(this.hostPath, name);
  }

  inside(name: string): string {
    return join(this.hostPath.slice(this.root.path.length), name);
  }

  /** A name for a unix socket, checked here because connect(2) only says "invalid argument". */
  socketOnHost(name: string): string {
    const path = this.onHost(name);
    if (Buffer.byteLength(path) > SOCKET_PATH_LIMIT)
      throw new Error(`socket path too long, set XDG_CACHE_HOME to a shorter one: ${path}`);
    return path;
  }

  remove(): void {
    rmSync(this.hostPath, { recursive: true, force: true });
  }
}

/** `withCompiler` asks for the larger root that can also compile a client. */
export async function openTrixieRoot({ withCompiler = false } = {}): Promise<OpenedRoot> {
  const flavour = withCompiler ? ['--compiler'] : [];
  const { status, stdout, stderr } = await run(['bash', SCRIPT, ...flavour], BUILD_TIMEOUT_MS);
  const path = stdout.trim();
  if (status === 0 && existsSync(path)) return { ok: true, root: new TrixieRoot(path) };
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  return { ok: false, reason: reason || `trixie.sh ended with status ${status}` };
}
