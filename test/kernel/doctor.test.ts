/**
 * vloop doctor on this machine: a free image, one that a vloop holds, one that is not there, io_uring denied; and
 * vloop install-discovery in a directory of its own.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DoctorReport, doctorReport } from '../../src/control/schema/doctor-report.ts';
import { complaint } from '../../src/control/validate.ts';
import { IoUringDenier } from '../support/deny-io-uring.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const compiled = IoUringDenier.compile();
const skipped = typeof compiled === 'string';
if (skipped) process.stdout.write(`skipped: doctor without io_uring: ${compiled}\n`);

let disk: ServedDisk;

beforeEach(() => {
  disk = new ServedDisk();
});

afterEach(async () => {
  await disk.close();
});

afterAll(() => {
  if (!skipped) compiled.remove();
});

interface Answer {
  readonly status: number | null;
  readonly report: DoctorReport;
  readonly of: (subject: string) => DoctorReport['findings'][number];
}

async function doctor(args: readonly string[], through: readonly string[] = []): Promise<Answer> {
  const vloop = new VloopProcess({ args: ['doctor', '--json', ...args], through });
  const { status } = await vloop.end(null);
  const report = JSON.parse(vloop.stdout) as DoctorReport;
  expect(complaint(doctorReport, report, '')).toBeNull();
  const of = (subject: string) => report.findings.find((finding) => finding.subject === subject)!;
  return { status, report, of };
}

describe('vloop doctor', () => {
  test('an image that can be served: how, and why; nothing is locked or changed by that', async () => {
    const before = statSync(disk.image).mtimeMs;
    const { report, of } = await doctor([disk.image]);
    expect(of('image')).toMatchObject({ level: 'ok' });
    expect(of('image').says).toContain(`${16 * 2 ** 20} bytes`);
    expect(of('lock')).toMatchObject({ level: 'ok', says: 'nobody holds it' });
    // What it says it would use is what serve uses.
    const [mode, reason] = of('mode').says.split(': ');
    await disk.startVloop();
    const [served] = await disk.vloop.logged('serving');
    expect(served).toMatchObject({ directIo: mode === 'direct', directIoReason: reason });
    expect(of('engine').says.split(':')[0]).toBe(served!['engine']);
    expect(report.well).toBe(report.findings.every(({ level }) => level !== 'problem'));
    expect(statSync(disk.image).mtimeMs).toBe(before);
  });

  test('an image that a vloop holds: who, and status 1', async () => {
    await disk.startVloop();
    const { status, report, of } = await doctor([disk.image]);
    expect(status).toBe(1);
    expect(report.well).toBe(false);
    expect(of('lock').level).toBe('problem');
    expect(of('lock').says).toMatch(new RegExp(`^process ${disk.vloop.pid} \\(.+\\) writes it$`));
  });

  test('an image that is not there is a problem, a second word is refused', async () => {
    const { status, of } = await doctor([`${disk.image}.none`]);
    expect(status).toBe(1);
    expect(of('image')).toMatchObject({ level: 'problem' });
    expect(of('image').says).toContain('no such file');
    const wrong = await VloopProcess.run(['doctor', 'a', 'b']);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain('doctor: expected [IMAGE], got 2 words');
  });

  test('without --json: a line for each finding', async () => {
    const { stdout } = await VloopProcess.run(['doctor']);
    expect(stdout).toMatch(/^ok {7}Node {2,}\d+\.\d+/);
    expect(stdout).toMatch(/^(ok|note) +io_uring /m);
  });

  test.skipIf(skipped)('where io_uring is forbidden: why, and what is used instead', async () => {
    const { of } = await doctor([disk.image], skipped ? [] : [compiled.program]);
    expect(of('io_uring').says).toContain('refused (EPERM)');
    expect(of('io_uring')).toMatchObject({ level: 'note' });
    expect(of('engine').says).toMatch(/^(native|threads): /);
  });
});

describe('vloop install-discovery', () => {
  const folder = () => join(disk.directory, 'share/qemu/vhost-user');
  const file = () => join(folder(), '50-vloop.json');
  const install = (...args: string[]) => VloopProcess.run(['install-discovery', ...args]);

  test('writes the file, and again, and nothing else', async () => {
    for (let round = 0; round < 2; round++) {
      const { status, stdout } = await install(`--prefix=${disk.directory}`);
      expect(status).toBe(0);
      expect(stdout.trim()).toBe(file());
    }
    const { binary, type } = JSON.parse(readFileSync(file(), 'utf8')) as Record<string, string>;
    expect(type).toBe('block');
    // What a management program does with it.
    expect(statSync(binary!).mode & 0o100).toBe(0o100);
    expect(readdirSync(folder())).toEqual(['50-vloop.json']);
  });

  test('prints without writing; leaves another program’s file as it is', async () => {
    const printed = await install('--print', `--prefix=${disk.directory}`);
    expect(JSON.parse(printed.stdout)).toMatchObject({ type: 'block' });
    expect(readdirSync(disk.directory)).not.toContain('share');
    mkdirSync(folder(), { recursive: true });
    writeFileSync(file(), '{"description": "mine"}');
    const { status, stderr } = await install(`--prefix=${disk.directory}`);
    expect(status).toBe(1);
    expect(stderr).toContain(`${file()}: it is another program's`);
    expect(readFileSync(file(), 'utf8')).toBe('{"description": "mine"}');
  });

  test('refuses --user with --prefix, and a directory that cannot be made', async () => {
    expect((await install('--user', '--prefix=/x')).status).toBe(2);
    const { status, stderr } = await install(`--prefix=${disk.image}`);
    expect(status).toBe(1);
    expect(stderr).toContain('cannot be');
  });
});
