/**
 * qemu-img, qemu-io and nbdkit as front-ends of a vhost-user-blk socket: they reach it through libblkio, a second
 * implementation of the protocol beside QEMU's device. Each call is a whole client: it connects, works, leaves.
 */
import type { BackEndProcess } from './back-end-process.ts';
import type { BoundedProcess, Finished } from './bounded-process.ts';
import type { TrixieRoot } from './trixie-root.ts';

export type BenchOptions = {
  count: number;
  depth: number;
  sizeBytes: number;
  stepBytes?: number;
  /** Writes this byte everywhere instead of reading. */
  writePattern?: number;
};

const CLIENT_TIMEOUT_MS = 60_000;

export class LibblkioClient {
  readonly root: TrixieRoot;
  readonly #socket: string;

  constructor(root: TrixieRoot, backEnd: BackEndProcess) {
    this.root = root;
    this.#socket = backEnd.socketInside;
  }

  /** The block driver's name for the socket; it insists on cache.direct=on. */
  #device(readOnly = false): string {
    const options = readOnly ? ',read-only=on' : '';
    return `driver=virtio-blk-vhost-user,path=${this.#socket},cache.direct=on${options}`;
  }

  async sizeBytes(): Promise<number> {
    const command = ['qemu-img', 'info', '--output=json', '--image-opts', this.#device(true)];
    const info: unknown = JSON.parse(await this.root.mustRun(command, CLIENT_TIMEOUT_MS));
    return Number((info as { 'virtual-size': number })['virtual-size']);
  }

  async convertIn(image: string): Promise<void> {
    const target = ['--target-image-opts', image, this.#device()];
    await this.root.mustRun(['qemu-img', 'convert', '-n', '-f', 'raw', ...target]);
  }

  async convertOut(image: string): Promise<void> {
    const source = ['--image-opts', this.#device(true), '-O', 'raw', image];
    await this.root.mustRun(['qemu-img', 'convert', ...source]);
  }

  /** True when equal, false when not; anything else is an error. */
  async compare(image: string): Promise<boolean> {
    const file = `driver=raw,file.driver=file,file.filename=${image}`;
    const command = ['qemu-img', 'compare', '--image-opts', file, this.#device(true)];
    const { status, stdout, stderr } = await this.root.run(command);
    if (status === 0 || status === 1) return status === 0;
    throw new Error(`qemu-img compare: status ${status}\n${stdout}${stderr}`);
  }

  /** qemu-io's exit status tells whether every command worked and every pattern was found. */
  io(commands: readonly string[], { readOnly = false } = {}): Promise<Finished> {
    return this.root.run([
      'qemu-io',
      ...(readOnly ? ['-r'] : []),
      '--image-opts',
      this.#device(readOnly),
      ...commands.flatMap((command) => ['-c', command]),
    ]);
  }

  async mustIo(commands: readonly string[], options?: { readOnly: boolean }): Promise<string> {
    const { status, stdout, stderr } = await this.io(commands, options);
    const output = `${stdout}${stderr}`;
    if (status !== 0 || /failed|error/i.test(output))
      throw new Error(`qemu-io: status ${status}: ${commands.join('; ')}\n${output}`);
    return output;
  }

  startBench(options: BenchOptions): BoundedProcess {
    return this.root.start(this.#benchCommand(options));
  }

  /** Runs the requests and gives the seconds that qemu-img measured. */
  async bench(options: BenchOptions): Promise<number> {
    const output = await this.root.mustRun(this.#benchCommand(options), CLIENT_TIMEOUT_MS);
    const seconds = /Run completed in ([\d.]+) seconds/.exec(output)?.[1];
    if (seconds === undefined) throw new Error(`no time in qemu-img's answer: ${output}`);
    return Number(seconds);
  }

  #benchCommand({ count, depth, sizeBytes, stepBytes, writePattern }: BenchOptions): string[] {
    return [
      'qemu-img',
      'bench',
      ...['-t', 'none', '-c', String(count), '-d', String(depth), '-s', String(sizeBytes)],
      ...(stepBytes === undefined ? [] : ['-S', String(stepBytes)]),
      ...(writePattern === undefined ? [] : ['-w', `--pattern=${writePattern}`]),
      ...['--image-opts', this.#device(writePattern === undefined)],
    ];
  }

  /** nbdkit's blkio plugin serves the disk over NBD while `script` runs with $uri set. */
  nbdkit(script: string): Promise<string> {
    const device = ['virtio-blk-vhost-user', `path=${this.#socket}`];
    return this.root.mustRun(['nbdkit', '-U', '-', 'blkio', ...device, '--run', script]);
  }
}
