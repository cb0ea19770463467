/**
 * Verbs on a real terminal: `vloop top` draws, follows the terminal's size, and leaves the terminal as it was however
 * it ends; an operation that takes long says so while it does.
 */
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { blk } from '../support/mock-driver-blk.ts';
import { isAlive } from '../support/process-alive.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { vloopCommand } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const WIDE = 140;

const reason = existsSync('/usr/bin/script') ? null : 'there is no /usr/bin/script (bsdutils)';
if (reason !== null) process.stderr.write(`skipped: verbs on a terminal: ${reason}\n`);

describe.skipIf(reason !== null)('on a terminal', () => {
  let disk: ServedDisk;
  let terminal: PseudoTerminal;

  beforeEach(async () => {
    disk = new ServedDisk();
    await disk.startVloop(['--name=shown', '--num-queues=2']);
  });

  afterEach(async () => {
    terminal?.close();
    await disk.close();
  });

  function top(): PseudoTerminal {
    terminal = new PseudoTerminal([...vloopCommand(), 'top', '--interval=0.1'], WIDE, 24);
    return terminal;
  }

  /** The lines of the last whole picture. */
  function picture(text: string): string[] | undefined {
    const pictures = text.split(HOME).slice(1, -1);
    const lines = pictures.at(-1)?.replaceAll('\x1b[K', '').replace('\x1b[J', '').split(/\r+\n/);
    return lines?.slice(0, -1);
  }

  test('top draws what disks do, and follows the size of the terminal', async () => {
    const frontEnd = await disk.connect({ queueCount: 2 });
    await frontEnd.queue.mustRun(blk.read(0, 512));
    const { shows } = top();
    const show = shows.bind(terminal);
    const lines = await show('rows of the disk', (text) => {
      const drawn = picture(text);
      return drawn?.some((line) => line.startsWith('shown')) ? drawn : undefined;
    });
    expect(lines[0]).toMatch(/^vloop top .*\(q: quit\)$/);
    expect(lines[2]).toMatch(/^DISK +QUEUE +STATE +R\/s .* BUSY%$/);
    expect(lines[3]).toMatch(/^shown +all +connected /);
    expect(lines).toHaveLength(6);
    await terminal.resize(40, 5);
    const small = await show('a small picture', (text) => {
      const drawn = picture(text);
      return drawn?.every((line) => line.length < 40) && drawn.length <= 4 ? drawn : undefined;
    });
    expect(small).toHaveLength(4);
    await terminal.resize(WIDE, 24);
    await show('the whole picture again', (text) =>
      picture(text)?.[2]?.endsWith('BUSY%') ? true : undefined,
    );
    terminal.type('q');
    expect(await terminal.said('ENDED')).toBe('0');
  });

  test.each([
    ['q', () => terminal.type('q')],
    ['Ctrl-C', () => terminal.type('\x03')],
    ['SIGTERM', async () => process.kill(Number(await terminal.said('PROCESS')), 'SIGTERM')],
  ])('top leaves the terminal as it was: %s', async (_, end) => {
    top();
    await terminal.shows('the disk', (text) => text.includes('shown') || undefined);
    await end();
    expect(await terminal.said('ENDED')).toBe('0');
    expect(await terminal.said('AFTER')).toBe(await terminal.said('BEFORE'));
    const [, drawn = '', after] = terminal.text.split(ENTER);
    expect(after).toBeUndefined();
    const [, last, more] = drawn.split(LEAVE);
    expect(last).toMatch(/^ENDED/);
    expect(more).toBeUndefined();
    await terminal.ended();
  });

  test('top ends with its terminal', async () => {
    top();
    await terminal.shows('the disk', (text) => text.includes('shown') || undefined);
    const pid = Number(await terminal.said('PROCESS'));
    terminal.close();
    await eventually('end of vloop top', 20_000, () => !isAlive(pid) || undefined);
  });
});
