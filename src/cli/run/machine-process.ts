/**
 * The command of `vloop run`, in the foreground: it has the terminal, gets the signals, and gives its exit status.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** Signals that end programs. SIGKILL cannot be passed on. */
const PASSED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
/** What a shell answers for a command that is not there, or that it may not run. */
const NOT_FOUND_STATUS = 127;
const NOT_ALLOWED_STATUS = 126;

/** What a shell makes of a process's end. */
export function statusOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** Whether the terminal itself sends SIGINT and SIGQUIT to this process and to what it starts. */
function isInForeground(): boolean {
  // proc(5): after the name in brackets come state, ppid, pgrp, session, tty_nr, tpgid.
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , pgrp, , , tpgid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return pgrp === tpgid;
}

/** Takes the signals from its construction on; before there is a machine, `onSignal` hears of them. */
export class MachineProcess {
  #child: ChildProcess | null = null;
  readonly #stopListening: () => void;

  constructor(onSignal: (signal: NodeJS.Signals) => void) {
    const listeners = PASSED.map((signal) => {
      const listener = () => {
        if (this.#child === null) onSignal(signal);
        else if (!this.#hasIt(signal)) this.#child.kill(signal);
      };
      process.on(signal, listener);
      return [signal, listener] as const;
    });
    this.#stopListening = () => {
      for (const [signal, listener] of listeners) process.off(signal, listener);
    };
  }

  #hasIt(signal: NodeJS.Signals): boolean {
    return (signal === 'SIGINT' || signal === 'SIGQUIT') && isInForeground();
  }

  /** Runs the command to its end; its exit status as a shell has it. */
  async run([program = '', ...args]: readonly string[]): Promise<number> {
    const child = spawn(program, args, { stdio: 'inherit' });
    this.#child = child;
    return await new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => {
        const missing = error.code === 'ENOENT';
        const reason = missing ? 'command not found' : `cannot be run (${error.code})`;
        process.stderr.write(`vloop: ${program}: ${reason}\n`);
        resolve(missing ? NOT_FOUND_STATUS : NOT_ALLOWED_STATUS);
      });
      child.once('exit', (status, signal) => {
        resolve(signal === null ? status! : statusOfSignal(signal));
      });
    });
  }

  close(): void {
    this.#stopListening();
  }
}
