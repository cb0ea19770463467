/**
 * Where http may listen, as `--http` says it: HOST:PORT with a loopback HOST, and nothing else. The page
 * pauses and resizes disks: another machine gets at it through ssh (`ssh -L`), which knows who asks.
 */
export interface HttpAddress {
  readonly host: string;
  /** 0: the system chooses one. */
  readonly port: number;
}

/** 127.0.0.0/8; a number in it may not begin with 0, which some readers take for octal. */
const LOOPBACK = /^127(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const PORT_MAX = 65_535;
const FORM = 'expected HOST:PORT, as 127.0.0.1:8080 or [::1]:0';

/** 127.0.0.0/8, ::1 and localhost, as they stand in a URL. */
export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '[::1]' || LOOPBACK.test(name);
}

/** The address, or why it cannot be one, in words. */
export function parseHttpAddress(text: string): HttpAddress | string {
  const parts = /^(\[[^\]]*\]|[^:[\]]*):(\d{1,5})$/.exec(text);
  if (parts === null) return FORM;
  const [, name = '', digits = ''] = parts;
  const port = Number(digits);
  if (port > PORT_MAX) return `port ${digits} is above ${PORT_MAX}: ${FORM}`;
  if (!isLoopbackName(name)) {
    const asked = name === '' ? 'every address of this machine' : name;
    return `${asked} is refused: http is for this machine only (127.0.0.1, [::1], localhost); from another one use ssh -L`;
  }
  return { host: name.replace(/^\[|\]$/g, ''), port };
}

/** The address as it stands in a URL. */
export function hostAndPort({ host, port }: HttpAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
