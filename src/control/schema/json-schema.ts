/**
 * The part of JSON Schema (2020-12) that the declarations in this folder use. They are plain literals, so that a
 * process reads them without loading a validator; TypeBox gives their types and, where it is loaded, checks values.
 */
import type { Static, TSchema } from 'typebox';

export interface JsonSchema {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'array' | 'null';
  readonly description?: string;
  readonly enum?: readonly (string | number | boolean | null)[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
}

/** The type of the values that a schema admits. */
export type ValueOf<S> = S extends TSchema ? Static<S> : never;

type Properties = Readonly<Record<string, JsonSchema>>;

/** An object that has these properties and no others; those that are named have to be there. */
export function objectOf<
  const R extends ReadonlyArray<keyof P & string>,
  const P extends Properties,
>(required: R, properties: P) {
  return { type: 'object', additionalProperties: false, required, properties } as const;
}

/** An object that has all of these properties and no others. */
export function recordOf<const P extends Properties>(properties: P) {
  // As many names as there are properties; TypeBox reads the union of a tuple's elements.
  const required = Object.keys(properties) as unknown as readonly [keyof P & string];
  return objectOf(required, properties);
}

/** A method's params when it has none. */
export const NO_PARAMS = { type: 'object', additionalProperties: false, properties: {} } as const;
/** What a method answers that only has to succeed. */
export const DONE = { type: 'null', description: 'done' } as const;
