/**
 * Who may ask: three checks of an http request or a WebSocket handshake, none of which trusts another.
 * Host keeps a name out that an attacker's DNS has turned to 127.0.0.1, Origin keeps other sites' pages
 * out (also those of other ports of this machine), and the token everybody else.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isLoopbackName } from './http-address.ts';

/** The subprotocol that both sides speak; the server answers with it, never with the token. */
export const WS_PROTOCOL = 'vloop.json-rpc';
/** A browser cannot give a WebSocket a header, but it can give it subprotocols: the token is one. */
export const WS_TOKEN_PREFIX = 'vloop.token.';

export interface AskedBy {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

/**
 * Why the request is refused, or null. Any port will do: one that ssh forwards to ours has another number,
 * and a name that is loopback is nobody else's.
 */
export function foreignness({ host, origin }: AskedBy): string | null {
  const name = /^(\[[\da-f:]+\]|[\w.-]+)(?::\d{1,5})?$/i.exec(host ?? '')?.[1];
  if (name === undefined || !isLoopbackName(name.toLowerCase())) {
    return 'the Host header names another machine: use 127.0.0.1 or localhost';
  }
  // Programs send none; browsers always do with a WebSocket, and with anything that is not a plain read.
  if (origin === undefined || origin === `http://${host}`) return null;
  return "the Origin header is another site's";
}

/** Takes as long for a token that is nearly right as for any other. */
export function isToken(given: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given ?? ''), digest(token));
}

export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer ([\w-]+)$/i.exec(authorization ?? '')?.[1];
}

/** The token among the subprotocols of a WebSocket handshake. */
export function subprotocolToken(protocols: string | undefined): string | undefined {
  return (protocols ?? '')
    .split(',')
    .map((name) => name.trim())
    .find((name) => name.startsWith(WS_TOKEN_PREFIX))
    ?.slice(WS_TOKEN_PREFIX.length);
}
