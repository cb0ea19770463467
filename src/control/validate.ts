/**
 * Checks values against the schema's literals and says in words what is wrong: where, which value, what was
 * expected. The only importer of TypeBox's code, which takes 20 MiB: this is loaded with the first request.
 */
import { Compile } from 'typebox/schema';
import type { JsonSchema } from './schema/json-schema.ts';

type Check = ReturnType<typeof Compile>;
type Failure = ReturnType<Check['Errors']>[1][number];

const compiled = new WeakMap<JsonSchema, Check>();

function checkOf(schema: JsonSchema): Check {
  let check = compiled.get(schema);
  if (check === undefined) {
    check = Compile(schema);
    compiled.set(schema, check);
  }
  return check;
}

/** All that is wrong with `value`. */
export function failuresOf(schema: JsonSchema, value: unknown): readonly Failure[] {
  const check = checkOf(schema);
  return check.Check(value) ? [] : check.Errors(value)[1];
}

/** Null, or what is wrong with `value`; `root` is how the value is called. */
export function complaint(schema: JsonSchema, value: unknown, root: string): string | null {
  const check = checkOf(schema);
  if (check.Check(value)) return null;
  const [, failures] = check.Errors(value);
  const first = failures.find(({ keyword }) => keyword !== 'boolean') ?? failures[0];
  return first === undefined ? `${root}: not as expected` : words(first, value, root);
}

function words(failure: Failure, value: unknown, root: string): string {
  const path = failure.instancePath.split('/').slice(1);
  const name = [root, ...path].filter((part) => part !== '').join('.');
  const params: Readonly<Record<string, unknown>> = failure.params;
  switch (failure.keyword) {
    case 'additionalProperties':
      return `${name}: unknown key "${String((params['additionalProperties'] as string[])[0])}"`;
    case 'required':
      return `${name}: "${String((params['requiredProperties'] as string[])[0])}" is missing`;
    case 'enum':
      return `${name}=${shown(value, path)}: expected one of ${(params['allowedValues'] as unknown[]).join(', ')}`;
    default:
      return `${name}=${shown(value, path)}: ${failure.message.replace(/^must/, 'it must')}`;
  }
}

/** The value at `path`, short enough for a line. */
function shown(value: unknown, path: readonly string[]): string {
  let at = value;
  for (const key of path) at = (at as Readonly<Record<string, unknown>> | undefined)?.[key];
  const text = JSON.stringify(at) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
