/**
 * Verbs that are one method of one disk: made from the method's params, so that a method needs no code here to be a
 * command. What the method answers is printed as lines, or as JSON.
 */
import { resolve } from 'node:path';
import { ControlError } from '../../control/controlled-disk.ts';
import type { JsonSchema } from '../../control/schema/json-schema.ts';
import { type DiskMethodName, methods } from '../../control/schema/methods.ts';
import { bytesOf, OptionsError } from '../option-values.ts';
import { pickDisk, withDisks } from './processes.ts';
import { withProgress } from './progress-line.ts';
import type { Verb, VerbArgs, VerbOptions } from './verb.ts';

type Answered = Readonly<Record<string, unknown>> | null;

interface DiskVerb {
  /** Params that are words behind the disk, in order; the others are options. */
  readonly words?: readonly string[];
  /** Its booleans are settings, which can be switched off as well. */
  readonly switches?: boolean;
  /** Params that are paths, of this process's directory. */
  readonly paths?: readonly string[];
  /** Sentences for people about what was done. */
  readonly says?: (result: Answered, disk: string, asked: readonly string[]) => string;
}

/** The type behind a param: `anyOf` takes the first that is not null. */
function plain(schema: JsonSchema): JsonSchema {
  return schema.anyOf?.find(({ type }) => type !== 'null') ?? schema;
}

/** One of several values, as a word: on and off where it is true and false. */
function wordOf(value: string | number | boolean | null): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
}

function optionsOf(params: JsonSchema, { words = [], switches = false }: DiskVerb): VerbOptions {
  const flag = switches ? 'on|off' : null;
  const rows = Object.entries(params.properties ?? {}).flatMap(([key, schema]) => {
    if (key === 'disk' || words.includes(key)) return [];
    const { type, enum: values } = plain(schema);
    const value =
      type === 'boolean' ? flag : (values?.map(wordOf).join('|') ?? type?.toUpperCase() ?? 'TEXT');
    return [[key.replaceAll('_', '-'), { value, meaning: schema.description ?? '' }] as const];
  });
  return {
    ...Object.fromEntries(rows),
    json: { value: null, short: 'J', meaning: 'print the answer as JSON' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  };
}

/** The value of a param from its text; what the text means depends on the schema. Throws OptionsError. */
function paramOf(key: string, text: string | boolean, schema: JsonSchema): unknown {
  const { type, enum: values, minimum = 0, maximum } = plain(schema);
  if (typeof text === 'boolean') return text;
  const name = `--${key.replaceAll('_', '-')}`;
  if (values !== undefined) {
    const value = values.find((one) => wordOf(one) === text);
    if (value !== undefined) return value;
    throw new OptionsError(`${name}=${text}: expected one of ${values.map(wordOf).join(', ')}`);
  }
  if (type === 'integer') {
    const number = bytesOf(text);
    if (number >= minimum && number <= (maximum ?? Number.MAX_SAFE_INTEGER)) return number;
    const form = 'a number, as 4096, 64M or 1GiB';
    const expected = maximum === undefined ? form : `a number from ${minimum} to ${maximum}`;
    throw new OptionsError(`${name}=${text}: expected ${expected}`);
  }
  if (type === 'array') return text.split(',');
  if (type !== 'boolean') return text;
  if (text === 'on' || text === 'off') return text === 'on';
  throw new OptionsError(`${name}=${text}: expected on or off`);
}

function paramsOf({ words, values }: VerbArgs, names: readonly string[], schema: JsonSchema) {
  const given: Record<string, unknown> = {};
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const at = names.indexOf(key);
    const text = at < 0 ? values[key.replaceAll('_', '-')] : words[at + 1];
    if (key !== 'disk' && text !== undefined) given[key] = paramOf(key, text, property);
  }
  return given;
}

function usage(names: readonly string[], { required = [] }: JsonSchema): string {
  const words = names.map((name) => {
    const word = name.toUpperCase();
    return required.includes(name) ? word : `[${word}]`;
  });
  return ['DISK', ...words].join(' ');
}

function lines(result: unknown): string {
  if (result === null) return '';
  if (typeof result !== 'object' || Array.isArray(result)) return `${JSON.stringify(result)}\n`;
  const rows = Object.entries(result as object);
  const width = Math.max(0, ...rows.map(([key]) => key.length));
  return rows
    .map(
      ([key, value]) =>
        `${key.padEnd(width)}  ${typeof value === 'string' ? value : JSON.stringify(value)}\n`,
    )
    .join('');
}

/** A refusal names params as methods have them; who typed options reads options. And it says of which disk. */
function refusalOf(
  error: ControlError,
  disk: string,
  params: JsonSchema,
  switches: boolean,
): ControlError {
  let text = error.message;
  for (const [key, schema] of Object.entries(params.properties ?? {})) {
    const option = `--${key.replaceAll('_', '-')}`;
    if (switches) {
      text = text.replaceAll(`${key}=true`, `${option}=on`);
      text = text.replaceAll(`${key}=false`, `${option}=off`);
    } else if (plain(schema).type === 'boolean') text = text.replaceAll(`${key}=true`, option);
    // An option's own dashes keep it from being found again.
    text = text.replaceAll(new RegExp(`(?<![-\\w])${key}=`, 'g'), `${option}=`);
  }
  const named = text.startsWith(disk) ? text : `${disk}: ${text}`;
  return new ControlError(error.code, named);
}

/** The verb for a method of one disk. */
export function diskVerb(method: DiskMethodName, more: DiskVerb = {}): Verb {
  const { words = [], paths = [], says } = more;
  const { summary, params } = methods[method];
  return {
    summary,
    words: usage(words, params),
    options: optionsOf(params, more),
    async run(args) {
      const given = paramsOf(args, words, params);
      if (more.switches === true && Object.keys(given).length === 0) {
        throw new OptionsError('set: which setting? (see vloop set --help)');
      }
      for (const key of paths) if (key in given) given[key] = resolve(String(given[key]));
      const { result, name } = await withDisks(async (disks) => {
        const { status, client } = pickDisk(disks, args.words[0]!);
        const disk = status.name;
        const verb = method.replace(/^disk_/, '').replaceAll('_', ' ');
        try {
          const answer = await withProgress({ verb, disk, path: client.path }, () =>
            client.callAny(method, { ...given, disk }),
          );
          return { result: answer, name: disk };
        } catch (error) {
          if (!(error instanceof ControlError)) throw error;
          throw refusalOf(error, disk, params, more.switches === true);
        }
      });
      const record = result as Answered;
      if (args.values['json'] === true) {
        process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      } else if (says !== undefined)
        process.stdout.write(`${says(record, name, Object.keys(given))}\n`);
      else process.stdout.write(lines(result));
      return 0;
    },
  };
}
