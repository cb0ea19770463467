/**
 * Why a disk stands still: what is in flight and what it waits for, from what the workers show and say. Pure:
 * the facts are gathered by whoever serves the disk.
 */

import { opName } from '../blk/op-names.ts';
import {
  type ShownCommand,
  STAGE_BOUNCE,
  STAGE_FLUSH,
  STAGE_RANGE,
  STAGE_ZEROES,
} from '../loop/command-board.ts';
import type { VringInspection } from '../worker/messages.ts';
import type { DiskWhy, WaitsFor, WhyQueue, WhyRequest, WhyThread } from './schema/disk-why.ts';

const SECTOR_BYTES = 512;
/** A request that takes longer is worth a word. */
const LONG_MS = 1000;

export interface WhyFacts {
  readonly name: string;
  readonly nowMs: number;
  /** By vring: what its command board shows. */
  readonly commands: ReadonlyMap<number, readonly ShownCommand[]>;
  /** By worker; null: it did not answer in time. */
  readonly answers: ReadonlyArray<readonly VringInspection[] | null>;
  /** By worker. */
  readonly workerThreads: ReadonlyArray<WhyThread | null>;
  /** Other threads that wait for storage. */
  readonly stuckThreads: readonly WhyThread[];
  /** How often an eventfd was signalled and not read. */
  readonly pendingOf: (fd: number) => number;
}

const TEXTS: Readonly<Record<WaitsFor, string>> = {
  file: 'the backing file: the kernel has the operation',
  engine: 'its turn: the engine has as many operations as it can have',
  bounce_buffer: 'a bounce buffer: all are in use',
  flush: 'fdatasync of the backing file',
  range: 'fallocate of the backing file',
  zeroes: 'zeroes being written to the backing file',
};

function waitsFor(command: ShownCommand, unbegun: boolean): WaitsFor {
  if (command.stage === STAGE_BOUNCE && !command.hasBounce) return 'bounce_buffer';
  if (unbegun) return 'engine';
  if (command.stage === STAGE_FLUSH) return 'flush';
  if (command.stage === STAGE_RANGE) return 'range';
  return command.stage === STAGE_ZEROES ? 'zeroes' : 'file';
}

function requestsOf({ commands, answers, nowMs }: WhyFacts): WhyRequest[] {
  const said = new Map(answers.flatMap((vrings) => vrings ?? []).map((v) => [v.index, v]));
  const requests = [...commands].flatMap(([queue, shown]) =>
    shown.map((command): WhyRequest => {
      const unbegun = said.get(queue)?.unbegun.includes(command.head) ?? false;
      const reason = waitsFor(command, unbegun);
      return {
        queue,
        head: command.head,
        op: opName(command.op),
        sector: Math.floor(command.firstBytes / SECTOR_BYTES),
        bytes: command.lengthBytes,
        bytes_left: reason === 'flush' ? 0 : command.remainingBytes,
        since_ms: Math.max(0, nowMs - command.startMs),
        retries: command.retries,
        waits_for: reason,
        text: TEXTS[reason],
      };
    }),
  );
  return requests.sort((a, b) => b.since_ms - a.since_ms);
}

/** Why a vring takes nothing, or null when it does. */
function standsBecause(vring: VringInspection): string | null {
  if (vring.broken !== null) return `the driver has broken the ring (${vring.broken})`;
  if (vring.paused) return 'the disk is quiesced: it goes on with disk_resume';
  if (vring.untranslated) return 'the front-end is asked for translations';
  if (vring.ring === null) return 'the memory that the ring lies in is away';
  if (vring.stopping) return 'the ring is to stop: what is in flight has to end first';
  if (!vring.enabled) return 'the front-end has disabled the ring';
  return null;
}

function queueOf(vring: VringInspection, pendingOf: WhyFacts['pendingOf']): WhyQueue {
  const eventfd = (fd: number) => ({ fd, pending: fd < 0 ? 0 : pendingOf(fd) });
  return {
    queue: vring.index,
    size: vring.size,
    enabled: vring.enabled,
    stopping: vring.stopping,
    broken: vring.broken,
    in_flight: vring.inFlight,
    available: vring.available,
    text: standsBecause(vring),
    kick: eventfd(vring.kickFd),
    call: eventfd(vring.callFd),
    ring: vring.ring,
  };
}

function summaryOf(why: Omit<DiskWhy, 'summary'>): string[] {
  const { requests, queues, workers, threads } = why;
  const lines: string[] = [];
  const oldest = requests[0];
  if (oldest === undefined) lines.push('nothing is in flight');
  else {
    const waits = `${(oldest.since_ms / 1000).toFixed(3)} s, waits for ${oldest.text}`;
    lines.push(
      `${requests.length} in flight; the oldest (queue ${oldest.queue}, head ${oldest.head}, ${oldest.op} at sector ${oldest.sector}) since ${waits}`,
    );
    const late = requests.filter(({ since_ms }) => since_ms >= LONG_MS).length;
    if (late > 0) lines.push(`${late} of them take longer than ${LONG_MS / 1000} s`);
  }
  for (const { queue, available, text } of queues) {
    if (text === null) continue;
    const what = available > 0 ? `${available} requests wait in it` : 'nothing waits in it';
    lines.push(`queue ${queue} is not served: ${text}; ${what}`);
  }
  for (const { worker, answers, thread } of workers) {
    if (answers) continue;
    const where = thread?.system_call ?? 'a system call';
    lines.push(
      `worker ${worker} does not answer: it is in ${where} (state ${thread?.state ?? '?'})`,
    );
  }
  for (const { thread, name, waits_in } of threads) {
    lines.push(`thread ${thread} (${name}) waits for storage in ${waits_in ?? 'the kernel'}`);
  }
  return lines;
}

export function diskWhyOf(facts: WhyFacts): DiskWhy {
  const { name, answers, workerThreads, stuckThreads, pendingOf } = facts;
  const why = {
    name,
    requests: requestsOf(facts),
    queues: answers
      .flatMap((vrings) => vrings ?? [])
      .sort((a, b) => a.index - b.index)
      .map((vring) => queueOf(vring, pendingOf)),
    workers: answers.map((vrings, worker) => ({
      worker,
      answers: vrings !== null,
      thread: workerThreads[worker] ?? null,
    })),
    threads: [...stuckThreads],
  };
  return { ...why, summary: summaryOf(why) };
}
