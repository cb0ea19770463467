/**
 * What is to be known of a virtual machine that does not come on, while it still runs: where its threads and
 * vloop's are, whether QEMU answers, whether its CPUs move, and what the rings say. Ends with what matters
 * most, because logs are cut at the front. Changes nothing in the machine; every question is bounded.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QmpClient } from './guest-qmp.ts';
import { lastingDebts, lookAtDisks } from './guest-rings.ts';

/** Between two looks at what moves. */
const WATCH_MS = 1000;
const CPU_LOOKS = 3;
const CPU_LOOK_MS = 200;
const SERIAL_CHARACTERS = 1500;
const LOG_LINES = 25;
const LOG_LINE_CHARACTERS = 300;

export interface EvidenceSources {
  readonly qemuPid: number;
  readonly vloops: ReadonlyArray<{ readonly pid: number; readonly output: string }>;
  readonly serial: string;
  readonly accelerator: string;
  readonly qmp: () => Promise<QmpClient>;
}

export interface Evidence {
  readonly text: string;
  /** QEMU answers, its CPUs run, and no disk owes the driver anything: this is not a hang of the disk. */
  readonly disksOweNothing: boolean;
  /** What disks owe the guest, a sentence each; null when QEMU does not tell. */
  readonly debts: readonly string[] | null;
}

export async function collectEvidence(sources: EvidenceSources): Promise<Evidence> {
  const pids = [sources.qemuPid, ...sources.vloops.map(({ pid }) => pid)];
  const before = pids.map(ticksOfThreads);
  await sleep(WATCH_MS);
  const threads = pids.map((pid, i) => describeThreads(pid, before[i]!));
  const machine = await askMachine(sources.qmp);
  const logs = sources.vloops.map(({ output }) => lastLines(output));
  const text = [
    `load: ${readFileSync('/proc/loadavg', 'latin1').trim()}; guest under ${sources.accelerator}`,
    `threads of QEMU, ticks in ${WATCH_MS} ms:\n${threads[0]}`,
    ...threads.slice(1).map((lines) => `threads of vloop:\n${lines}`),
    ...logs.map((lines) => `vloop said last:\n${lines}`),
    `the guest's last words:\n${sources.serial.slice(-SERIAL_CHARACTERS) || '(none)'}`,
    ...machine.lines,
  ].join('\n');
  return { text, disksOweNothing: machine.disksOweNothing, debts: machine.debts };
}

async function askMachine(connect: () => Promise<QmpClient>) {
  const lines: string[] = [];
  let disksOweNothing = false;
  let debts: readonly string[] | null = null;
  try {
    const qmp = await connect();
    for (let look = 0; look < CPU_LOOKS; look++) {
      if (look > 0) await sleep(CPU_LOOK_MS);
      lines.push(`CPUs: ${programCounters(await qmp.monitor('info registers -a'))}`);
    }
    const { status } = (await qmp.execute('query-status')) as { status: string };
    lines.push(`QEMU answers: ${status}`);
    const disks = await lookAtDisks(qmp);
    lines.push(...disks.lines);
    debts = [];
    if (disks.debts.length > 0) {
      await sleep(WATCH_MS);
      const later = await lookAtDisks(qmp);
      lines.push(`${WATCH_MS} ms later:`, ...later.lines);
      debts = lastingDebts(disks.debts, later.debts);
    }
    disksOweNothing = status === 'running' && debts.length === 0;
  } catch (error) {
    lines.push(`QEMU's monitor: ${error instanceof Error ? error.message : error}`);
  }
  return { lines, disksOweNothing, debts };
}

/** Where each CPU is and whether it has halted, out of HMP's register dump. */
function programCounters(registers: string): string {
  return [...registers.matchAll(/[RE]IP=([0-9a-f]+).*?(HLT=\d)/g)]
    .map(([, address, halted]) => `${address} ${halted}`)
    .join(', ');
}

function threadFile(pid: number, thread: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/${file}`, 'latin1').trim();
  } catch {
    // The thread has ended, or the kernel does not show this file.
    return '?';
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function statFields(pid: number, thread: string): string[] {
  const stat = threadFile(pid, thread, 'stat');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** User and system time of each thread so far, in ticks of the kernel's. */
function ticksOfThreads(pid: number): Map<string, number> {
  const ticks = threadsOf(pid).map((thread): [string, number] => {
    const fields = statFields(pid, thread);
    return [thread, Number(fields[11]) + Number(fields[12])];
  });
  return new Map(ticks);
}

function describeThreads(pid: number, before: ReadonlyMap<string, number>): string {
  const now = ticksOfThreads(pid);
  const lines = [...now].map(([thread, ticks]) => {
    const [name, waits, call] = ['comm', 'wchan', 'syscall'].map((file) =>
      threadFile(pid, thread, file),
    );
    const moved = ticks - (before.get(thread) ?? 0);
    const state = statFields(pid, thread)[0];
    return `  ${name} ${state} ticks=${moved} wchan=${waits} syscall=${call?.split(' ')[0]}`;
  });
  return lines.join('\n') || '  (it has ended)';
}

function lastLines(output: string): string {
  const lines = output.trimEnd().split('\n').slice(-LOG_LINES);
  return lines.map((line) => `  ${line.slice(0, LOG_LINE_CHARACTERS)}`).join('\n');
}
