/**
 * The package as npm makes it: what is in the tarball, that its program serves a disk and its library serves one from
 * another program, as JavaScript without the sources' tools, and what an old Node is told. Needs no network, since the
 * tarball is unpacked as npm would do it, beside the dependencies that are installed here; but for one test, which has npm
 * install it in an empty folder, as a user does.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BoundedProcess, waitFor } from '../support/bounded-process.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const LIMIT_MS = 60_000;
/** The compiler and npm, on a machine that has other things to do. */
const BUILD_MS = 300_000;
const BLOCK = 4096;
/** What npm reads to make the package. */
const SOURCES = [
  ...['package.json', 'tsconfig.json', 'tsconfig.build.json'],
  ...['src', 'protocol', 'README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'LICENSE'],
];

const node = join(CHECKOUT, 'node_modules/.bin/node');
let directory: string;
let app: string;
let tarball: string;
let files: string[];

const run = (cwd: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', timeout: BUILD_MS, stdio: 'pipe' });

/** Everything that is installed but vloop itself, where the tarball's modules look for it. */
function linkDependencies(modules: string): void {
  const installed = join(CHECKOUT, 'node_modules');
  for (const name of readdirSync(installed)) {
    if (name !== 'vloop' && !name.startsWith('.'))
      symlinkSync(join(installed, name), join(modules, name));
  }
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  for (const name of SOURCES) cpSync(join(CHECKOUT, name), join(tree, name), { recursive: true });
  symlinkSync(join(CHECKOUT, 'node_modules'), join(tree, 'node_modules'));
  // What `npm run build` runs; npm itself would look for the compiler by way of a shell.
  run(tree, node, join(CHECKOUT, 'node_modules/.bin/tsc'), '-p', 'tsconfig.build.json');
  const packed = run(
    tree,
    'npm',
    'pack',
    '--json',
    '--ignore-scripts',
    '--offline',
    '--pack-destination',
    directory,
  );
  const [{ filename, files: listed }] = JSON.parse(packed) as [
    { filename: string; files: Array<{ path: string }> },
  ];
  tarball = join(directory, filename);
  files = listed.map(({ path }) => path);
  app = join(directory, 'app');
  const modules = join(app, 'node_modules');
  mkdirSync(join(modules, 'vloop'), { recursive: true });
  writeFileSync(join(app, 'package.json'), '{"private": true, "type": "module"}');
  run(app, 'tar', 'xf', tarball, '--strip-components=1', '-C', join(modules, 'vloop'));
  linkDependencies(modules);
}, BUILD_MS);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function newImage(name: string): { image: string; socket: string } {
  const image = join(directory, `${name}.img`);
  writeFileSync(image, '');
  truncateSync(image, 8 * 2 ** 20);
  return { image, socket: join(directory, `${name}.sock`) };
}

async function writeAndRead(socket: string, process: BoundedProcess): Promise<void> {
  await waitFor(
    () => `socket ${socket}; it said: ${process.output}`,
    LIMIT_MS,
    () => {
      if (process.ended) throw new Error(`it ended: ${process.output}`);
      return process.output.includes('serving') && existsSync(socket) ? true : undefined;
    },
  );
  const client = await MockFrontEnd.start(socket);
  const data = noise(BLOCK, 9);
  await client.queue.mustRun(blk.write(0, data));
  expect(Buffer.compare(await client.queue.mustRun(blk.read(0, BLOCK)), data)).toBe(0);
  await client.close();
}

test('the tarball has program, library with types, page, units and texts, and nothing else', () => {
  for (const path of [
    ...[
      'src/cli/vloop.js',
      'dist/src/cli/main.js',
      'dist/src/worker/entry.js',
      'dist/protocol/virtio-blk.js',
    ],
    ...[
      'dist/src/cli/create-disk.js',
      'dist/src/cli/create-disk.d.ts',
      'src/control/page/index.html',
    ],
    ...[
      'src/systemd/vloop@.service',
      'src/systemd/vloop@.socket',
      'src/systemd/vloop-daemon.service',
      'package.json',
      'README.md',
      'LICENSE',
    ],
  ]) {
    expect(files).toContain(path);
  }
  const allowed = /^(dist|src|protocol)\/|^(package\.json|[A-Z]+(\.md)?)$/;
  expect(files.filter((path) => !allowed.test(path))).toEqual([]);
  expect(files.filter((path) => path.includes('.test.'))).toEqual([]);
});

test('its program serves a disk to a front-end', async () => {
  const { image, socket } = newImage('program');
  const { bin } = JSON.parse(
    readFileSync(join(app, 'node_modules/vloop/package.json'), 'utf8'),
  ) as {
    bin: { vloop: string };
  };
  const program = join(app, 'node_modules/vloop', bin.vloop);
  const vloop = new BoundedProcess([node, program, 'serve', image, `--socket-path=${socket}`]);
  try {
    await writeAndRead(socket, vloop);
    vloop.signal('SIGTERM');
    expect((await vloop.within(LIMIT_MS)).status).toBe(0);
  } finally {
    await vloop.kill();
  }
});

/** Of npm, when a registry that it needs cannot be reached. */
const NO_REGISTRY =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|E5\d\d)\b/;

/** Null when npm has installed it, or why the registry did not let it. */
async function npmInstall(folder: string): Promise<string | null> {
  const bounds = ['--prefer-offline', '--fetch-timeout=60000', '--fetch-retries=2'];
  const command = ['npm', 'install', tarball, ...bounds, '--no-audit', '--no-fund'];
  const npm = new BoundedProcess(command, folder);
  try {
    const { status, stderr } = await npm.within(BUILD_MS);
    if (status === 0) return null;
    const cause = NO_REGISTRY.exec(stderr)?.[0];
    if (cause === undefined) throw new Error(`npm install: ${stderr}`);
    return `no registry (${cause})`;
  } catch (error) {
    if (!(error as Error).message.startsWith('still running')) throw error;
    return `the registry is too slow: npm needs more than ${BUILD_MS} ms`;
  }
}

test('npm installs it in an empty folder, and npx serves a disk', {
  timeout: 2 * BUILD_MS,
}, async (context) => {
  const folder = join(directory, 'empty');
  mkdirSync(folder);
  const reason = await npmInstall(folder);
  if (reason !== null) {
    process.stderr.write(`skipped: npm install of the tarball: ${reason}\n`);
    return context.skip(reason);
  }
  newImage('empty/disk');
  // The machine's own node may be too old for vloop, which says so.
  const path = `PATH=${join(CHECKOUT, 'node_modules/.bin')}:${process.env['PATH']}`;
  const npx = ['env', path, 'npx', '--no', '--', 'vloop', 'serve', 'disk.img'];
  const vloop = new BoundedProcess(npx, folder);
  try {
    await writeAndRead(join(folder, 'disk.img.sock'), vloop);
    await waitFor(
      () => `what to do next; it said: ${vloop.output}`,
      LIMIT_MS,
      () => vloop.output.includes('Attach it to a guest') || undefined,
    );
    vloop.signal('SIGTERM');
    // npx has a status of its own for a signal.
    expect((await vloop.within(LIMIT_MS)).stderr).toMatch(/"writes":1,.*"msg":"summary"/);
  } finally {
    await vloop.kill();
  }
});

test('its library serves a disk in the example program', async () => {
  const { image, socket } = newImage('library');
  cpSync(join(CHECKOUT, 'qemu-examples/library.mjs'), join(app, 'library.mjs'));
  const program = new BoundedProcess([node, join(app, 'library.mjs'), image, socket]);
  try {
    await writeAndRead(socket, program);
    await waitFor(
      () => `events; it said: ${program.output}`,
      LIMIT_MS,
      () => program.output.includes('disk_disconnected') || undefined,
    );
    program.signal('SIGTERM');
    const { status, stdout } = await program.within(LIMIT_MS);
    expect(stdout).toContain('disk_connected {"disk":"library.img"}');
    expect(stdout).toContain('closed');
    expect(status).toBe(0);
    expect(existsSync(socket)).toBe(false);
  } finally {
    await program.kill();
  }
});

test('its types are those that a TypeScript program sees', { timeout: BUILD_MS }, () => {
  const check = (options: string) => {
    const text = `import { createDisk, type Disk } from 'vloop';
import { defineConfig } from 'vloop/define-config';
import { defineTransfer } from 'vloop/transfer-module';
defineConfig({ disks: [{ blk_file: 'a', num_queues: 4 }] });
defineTransfer({ number: 2, name: 'none', owner: 'me', keyBytes: null, transfer: () => 0 });
const disk: Disk = await createDisk({ file: 'a', socketPath: 'b', ${options} });
const size: number = (await disk.status()).size;
disk.events(({ name, params }) => process.stdout.write(name + params.disk + size));
`;
    writeFileSync(join(app, 'program.ts'), text);
    const tsc = join(CHECKOUT, 'node_modules/.bin/tsc');
    const flags = [
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--types',
      'node',
    ];
    return spawnSync(node, [tsc, ...flags, 'program.ts'], {
      cwd: app,
      encoding: 'utf8',
      timeout: LIMIT_MS,
    });
  };
  expect(check(`direct_io: 'on', num_queues: 4`).stdout).toBe('');
  const wrong = check(`direct_io: 'perhaps', num_queues: 'x'`).stdout;
  expect(wrong).toContain('"perhaps"');
  expect(wrong.split('\n').filter((line) => line.includes('error TS2322'))).toHaveLength(2);
});

test('an old Node is told which one is needed, in one line', () => {
  const old =
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.11.0" } })';
  const program = join(app, 'node_modules/vloop/src/cli/vloop.js');
  const args = [
    '--import',
    `data:text/javascript,${encodeURIComponent(old)}`,
    program,
    '--version',
  ];
  const { status, stderr } = spawnSync(node, args, { encoding: 'utf8', timeout: LIMIT_MS });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^vloop: needs Node 22\.18 or newer, this is 20\.11\.0 [^\n]*\n$/);
});
