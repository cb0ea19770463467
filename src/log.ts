/**
 * Logs: pino, a line an event on stderr, JSON or for people, written at once so that none is lost when the process dies.
 * The only importer of pino. Guest data is never logged; lines that a guest or a front-end causes go through GuestLines.
 */
import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { LineSink } from './log/line-sink.ts';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['auto', 'json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];
export type Log = Logger;

/** Answers what is written instead of a line of JSON. */
export type LineFormat = (line: string) => string;

/** How lines at a descriptor are written. What makes them for people is loaded only where it is wanted. */
export async function lineFormat(format: LogFormat, fd: number): Promise<LineFormat> {
  const isTerminal = isatty(fd);
  if (format === 'json' || (format === 'auto' && !isTerminal)) return (line) => line;
  const { prettyLine, wantsColour } = await import('./log/pretty-line.ts');
  const colour = wantsColour(isTerminal, process.env);
  return (line) => prettyLine(line, colour);
}

export async function openLog(level: LogLevel, format: LogFormat): Promise<Log> {
  const options = { name: 'vloop', level, base: { pid: process.pid } };
  return pino(options, new LineSink(2, await lineFormat(format, 2)));
}
