/**
 * What is said while tests run: which of how many, how it ended, how long it has taken and may still take. Pure.
 */
import { type CaseResult, caseLabel } from './cases.ts';

/** 75 → "1:15", 3700 → "1:01:40". */
export function clockText(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [
    Math.floor(whole / 3600),
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  const tail = `${String(rest).padStart(2, '0')}`;
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${tail}` : `${minutes}:${tail}`;
}

/** What is left takes as long as what was done, on average. */
export function secondsLeft(done: number, total: number, elapsedSeconds: number): number {
  return done === 0 ? Number.NaN : ((total - done) * elapsedSeconds) / done;
}

export interface Standing {
  readonly done: number;
  readonly total: number;
  readonly elapsedSeconds: number;
  /** With --compare: the side is part of the line. */
  readonly showSide: boolean;
}

export function progressLine(result: CaseResult, standing: Standing): string {
  const { done, total, elapsedSeconds, showSide } = standing;
  const count = `[${String(done).padStart(String(total).length)}/${total}]`;
  const side = showSide ? ` on ${result.side}` : '';
  const why = result.reason === '' ? '' : `: ${result.reason.slice(0, 160)}`;
  const left = secondsLeft(done, total, elapsedSeconds);
  const time = `${clockText(elapsedSeconds)} elapsed, about ${clockText(left)} left`;
  return `${count} ${caseLabel(result)}${side}: ${result.verdict}${why} (${result.seconds.toFixed(1)} s; ${time})`;
}
