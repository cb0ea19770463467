/**
 * README's table of JSON-RPC methods, from their declarations: what each takes and answers, in a few words. Names of
 * parameters and of fields only; types, ranges and meanings are in the schema.
 */
import { diskConfig } from './disk-config.ts';
import { diskStatus } from './disk-status.ts';
import type { JsonSchema } from './json-schema.ts';
import { type MethodRow, methods } from './methods.ts';

/** What has too many fields to name them in each row. */
const NAMED: ReadonlyMap<object, string> = new Map<object, string>([
  [diskStatus, 'STATUS'],
  [diskConfig, 'OPTIONS'],
]);

function fieldsText({ properties = {}, required = [] }: JsonSchema): string {
  const names = Object.keys(properties).filter((name) => !name.startsWith('$'));
  return names.map((name) => (required.includes(name) ? name : `${name}?`)).join(', ');
}

/** A value, in the words of JSON. */
function valueText(schema: JsonSchema): string {
  const name = NAMED.get(schema);
  if (name !== undefined) return name;
  if (schema.type === 'object') return `{${fieldsText(schema)}}`;
  if (schema.type !== 'array') return schema.type ?? '…';
  return `[${schema.items === undefined ? '…' : valueText(schema.items)}]`;
}

function row([name, { summary, params, result }]: [string, MethodRow]): string {
  const takes = NAMED.get(params) ?? fieldsText(params);
  return `| \`${name}\` | ${takes === '' ? '' : `\`${takes}\``} | \`${valueText(result)}\` | ${summary} |`;
}

export function methodsMarkdown(): string {
  return [
    '| method | parameters | result | what it does |',
    '|---|---|---|---|',
    ...Object.entries<MethodRow>(methods).map(row),
  ].join('\n');
}
