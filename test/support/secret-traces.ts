/**
 * Whether anything of a secret (a key, a guest's data) can be found in a text, in the forms that a log could have it in: as
 * it is, escaped, hex, base64, as a list of numbers, as one number. Four bytes in a row are enough to be found.
 */

const WINDOW = 4;
/** Six bytes are eight characters of base64, whichever byte it began with. */
const BASE64_WINDOW = 6;

/** A secret that can be recognised: no byte of it is text, and none comes again within 126. */
export function secretBytes(seed: number, lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => 0x81 + ((seed * 37 + i * 5) % 0x7e));
}

const hex = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0');

/** A number as it may be written: decimal, and hex without leading zeroes as well. */
function numberForms(value: bigint): string[] {
  return [value.toString(), value.toString(16), BigInt.asIntN(64, value).toString()];
}

function formsOf(window: Uint8Array): Array<readonly [form: string, text: string]> {
  const bytes = [...window];
  const view = new DataView(window.slice().buffer);
  const lists = [',', ', ', ' ', '\n'].map((gap) => ['list', bytes.join(gap)] as const);
  const hexLists = ['', ' ', ',', ':', ', 0x'].map(
    (gap) => ['hex', bytes.map((byte) => hex(byte, 2)).join(gap)] as const,
  );
  const words = [view.getUint32(0, true), view.getUint32(0, false)].flatMap((word) =>
    numberForms(BigInt(word)).map((text) => ['number', text] as const),
  );
  const signed = [view.getInt32(0, true), view.getInt32(0, false)].map(
    (word) => ['number', `${word}`] as const,
  );
  return [
    ...lists,
    ...hexLists,
    ...words,
    ...signed,
    ['raw', Buffer.from(window).toString('latin1')],
    ['escaped', bytes.map((byte) => `\\u00${hex(byte, 2)}`).join('')],
    ['escaped', bytes.map((byte) => `\\x${hex(byte, 2)}`).join('')],
    ['percent', bytes.map((byte) => `%${hex(byte, 2)}`).join('')],
  ];
}

/** Without what base64 makes of the bytes before and behind. */
function base64Forms(window: Uint8Array): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), window])
      .toString('base64')
      .replace(/=+$/, '');
    const from = Math.ceil((before * 8) / 6);
    const to = Math.floor(((before + window.length) * 8) / 6);
    const inner = text.slice(from, to);
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

function* windows(secret: Uint8Array, sizeBytes: number): Generator<Uint8Array> {
  for (let at = 0; at + sizeBytes <= secret.length; at++) yield secret.subarray(at, at + sizeBytes);
}

/** What of `secret` is in `text`, with its form; empty: nothing. */
export function tracesOf(secret: Uint8Array, text: string | Buffer): string[] {
  // Raw bytes may be written as they are or as UTF-8.
  const readings =
    typeof text === 'string' ? [text] : [text.toString('latin1'), text.toString('utf8')];
  const lower = readings.map((reading) => reading.toLowerCase());
  const found: string[] = [];
  for (const window of windows(secret, WINDOW)) {
    for (const [form, trace] of formsOf(window)) {
      const at = form === 'raw' ? readings : lower;
      if (at.some((reading) => reading.includes(trace)))
        found.push(`${form}: ${JSON.stringify(trace)}`);
    }
  }
  for (const window of windows(secret, BASE64_WINDOW)) {
    const wide = base64Forms(window).find((trace) =>
      readings.some((reading) => reading.includes(trace)),
    );
    if (wide !== undefined) found.push(`base64: ${wide}`);
  }
  for (const window of windows(secret, 8)) {
    const view = new DataView(window.slice().buffer);
    for (const little of [true, false]) {
      const trace = numberForms(view.getBigUint64(0, little)).find((form) =>
        lower.some((reading) => reading.includes(form)),
      );
      if (trace !== undefined) found.push(`number: ${trace}`);
    }
  }
  return [...new Set(found)];
}
