/**
 * Comma-separated options as QEMU writes them, `file.img,key=value,flag`: a double comma is a comma. Pure.
 */

export interface CommaPart {
  readonly key: string;
  /** Null: the key stands alone. */
  readonly value: string | null;
}

/** The parts as they are written, double commas made single. */
export function splitCommas(text: string): string[] {
  return text.replaceAll(',,', '\0').split(',').map(withCommas);
}

/** The parts as keys and values. */
export function commaParts(text: string): CommaPart[] {
  return splitCommas(text).map((part) => {
    const at = part.indexOf('=');
    return at < 0
      ? { key: part, value: null }
      : { key: part.slice(0, at), value: part.slice(at + 1) };
  });
}

/** A value as it is written in such a list. */
export function quoteCommas(value: string): string {
  return value.replaceAll(',', ',,');
}

function withCommas(part: string): string {
  return part.replaceAll('\0', ',');
}
