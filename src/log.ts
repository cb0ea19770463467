/**
 * Logs: pino, JSON lines on stderr, written at once so that none is lost when the process dies.
 * The only importer of pino. Guest data is never logged.
 */
import { type Logger, pino } from 'pino';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type Log = Logger;

export function createLog(level: LogLevel): Log {
  const options = { name: 'vloop', level, base: { pid: process.pid } };
  return pino(options, pino.destination({ fd: 2, sync: true }));
}
