/**
 * A line of the log for a person at a terminal: time, level, process, disk, text, then the fields as name=value. One line
 * an event, whatever is in it: control characters, which a file name or a front-end may bring, are written as escapes.
 */

const LEVELS: Readonly<Record<number, readonly [name: string, colour: string]>> = {
  10: ['TRACE', '2'],
  20: ['DEBUG', '2'],
  30: ['INFO', '32'],
  40: ['WARN', '33'],
  50: ['ERROR', '31'],
  60: ['FATAL', '1;31'],
};
const LEVEL_WIDTH = 5;
/** What has a place of its own, or says nothing to a person. */
const PLACED = ['level', 'time', 'pid', 'name', 'disk', 'msg'];

/** no-color.org: NO_COLOR with any value but none. */
export function wantsColour(
  isTerminal: boolean,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

/** C0, DEL, C1, and what turns the direction of text around. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Plain where it can be told from what is beside it, else as JSON. */
function valueText(value: unknown): string {
  const isPlain = typeof value === 'string' && /^[^\s"'={}[\]]+$/.test(value);
  return printable(isPlain ? value : JSON.stringify(value));
}

/** Local time: a log at a terminal is read beside a clock on the wall. */
function timeText(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${day} ${clock}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

function parsed(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** What is no line of the log is answered as it is. */
export function prettyLine(line: string, colour: boolean): string {
  const fields = parsed(line);
  if (typeof fields?.['level'] !== 'number') return line;
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const [level, code] = LEVELS[fields['level']] ?? [String(fields['level']), '0'];
  const disk = fields['disk'] === undefined ? '' : `${printable(String(fields['disk']))}: `;
  const more = Object.entries(fields)
    .filter(([name]) => !PLACED.includes(name))
    .map(([name, value]) => ` ${paint('2', `${printable(name)}=`)}${valueText(value)}`);
  return [
    paint('2', timeText(Number(fields['time']))),
    paint(code, level.padEnd(LEVEL_WIDTH)),
    paint('2', `[${String(fields['pid'])}]`),
    `${disk}${printable(String(fields['msg'] ?? ''))}${more.join('')}\n`,
  ].join(' ');
}
