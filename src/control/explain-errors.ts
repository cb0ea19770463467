/**
 * What is wrong with a value, in words that name the key, the value and what was expected: from the schema and the
 * errors that the validator found. An unknown key gets a suggestion. Pure.
 */
import { nearestName } from './nearest-name.ts';
import type { JsonSchema } from './schema/json-schema.ts';

/** An error of the validator (typebox). */
export interface FoundError {
  readonly keyword: string;
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly params: object;
}

/** Of one text or list that is shown. */
const SHOWN_MAX = 60;

/** The sentences, the most telling first; never empty. */
export function explainErrors(
  schema: JsonSchema,
  value: unknown,
  errors: readonly FoundError[],
): string[] {
  const unknown = errors.filter(({ keyword }) => keyword === 'additionalProperties');
  const missing = errors.filter(({ keyword }) => keyword === 'required');
  // What stands below an alternative is told with the alternative; "boolean" repeats additionalProperties.
  const others = errors.filter(
    ({ keyword, schemaPath }) =>
      !['additionalProperties', 'required', 'boolean'].includes(keyword) &&
      !schemaPath.includes('/anyOf/'),
  );
  const sentences = [
    ...unknown.flatMap((error) => unknownKeys(schema, error)),
    ...missing.flatMap((error) => missingKeys(error)),
    ...others.map((error) => wrongValue(schema, value, error)),
  ];
  return sentences.length > 0
    ? [...new Set(sentences)]
    : ['it is not of the form that is expected'];
}

function unknownKeys(schema: JsonSchema, { schemaPath, instancePath, params }: FoundError) {
  const names = (params as { additionalProperties?: readonly string[] }).additionalProperties ?? [];
  const known = Object.keys(nodeAt(schema, schemaPath).properties ?? {});
  return names.map((name) => {
    const nearest = nearestName(name, known);
    const hint =
      nearest === null ? `expected one of ${known.join(', ')}` : `did you mean "${nearest}"?`;
    return `${keyText(instancePath, name)}: there is no such key; ${hint}`;
  });
}

function missingKeys({ instancePath, params }: FoundError): string[] {
  const names = (params as { requiredProperties?: readonly string[] }).requiredProperties ?? [];
  return names.map((name) => `${keyText(instancePath, name)} is missing`);
}

function wrongValue(schema: JsonSchema, root: unknown, error: FoundError): string {
  const { instancePath, schemaPath } = error;
  const expected = expectedWords(nodeAt(schema, schemaPath));
  const shown = shownValue(valueAt(root, instancePath));
  const key = keyText(instancePath);
  return key === ''
    ? `expected ${expected}, got ${shown}`
    : `${key}=${shown}: expected ${expected}`;
}

/** What a schema asks for, as the end of a sentence that begins with "expected". */
export function expectedWords(node: JsonSchema): string {
  if (node.enum !== undefined) return `one of ${node.enum.map(String).join(', ')}`;
  if (node.anyOf !== undefined) return node.anyOf.map(expectedWords).join(' or ');
  switch (node.type) {
    case 'integer':
    case 'number':
      return `${node.type === 'integer' ? 'an integer' : 'a number'}${rangeWords(node)}`;
    case 'string':
      return `a text${lengthWords(node)}${node.pattern !== undefined ? ` (${node.description ?? 'of another form'})` : ''}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
      return 'an object';
    case 'null':
      return 'null';
    default:
      return node.description ?? 'another value';
  }
}

function rangeWords({ minimum, maximum }: JsonSchema): string {
  if (minimum === undefined && maximum === undefined) return '';
  if (maximum === undefined) return ` from ${minimum} on`;
  return minimum === undefined ? ` up to ${maximum}` : ` from ${minimum} to ${maximum}`;
}

function lengthWords({ minLength = 0, maxLength }: JsonSchema): string {
  if (maxLength !== undefined) return ` of ${minLength} to ${maxLength} characters`;
  return minLength > 0 ? ' that is not empty' : '';
}

const unescaped = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~');

/** The schema that a validator's path names; an empty one where it leads nowhere. */
function nodeAt(schema: JsonSchema, path: string): JsonSchema {
  let node: unknown = schema;
  for (const part of path.replace(/^#?\/?/, '').split('/')) {
    if (part === '') continue;
    node = (node as Readonly<Record<string, unknown>> | undefined)?.[unescaped(part)];
  }
  return (node ?? {}) as JsonSchema;
}

function valueAt(root: unknown, path: string): unknown {
  let value = root;
  for (const part of path.split('/').slice(1)) {
    value = (value as Readonly<Record<string, unknown>> | undefined)?.[unescaped(part)];
  }
  return value;
}

/** `/disks/0/serial` → `disks[0].serial`. */
function keyText(path: string, ...more: readonly string[]): string {
  const parts = [...path.split('/').slice(1).map(unescaped), ...more];
  return parts.reduce((text, part) => {
    if (/^\d+$/.test(part)) return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

function shownValue(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
}
