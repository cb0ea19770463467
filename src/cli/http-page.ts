/**
 * The page of a process (`--http`), be it one that serves disks or the daemon: opens it in front of whatever
 * carries out methods. Loads what http needs only here, so that a disk without a page pays nothing for it.
 */
import { fstatSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpAddress, hostAndPort } from '../control/http-address.ts';
import type { HttpListener, HttpParts } from '../control/http-server.ts';
import type { RpcCall } from '../control/rpc-session.ts';
import type { ResultOf } from '../control/schema/methods.ts';
import { GuestLines } from '../log/guest-lines.ts';
import type { Log } from '../log.ts';
import { SocketError } from '../vhost-user/server.ts';
import { makeRunDirectory } from './run-directory.ts';

/** A process that has handed over ends at once; its port is free when it has. */
const PORT_WAIT_MS = 10_000;
const PORT_LOOK_MS = 20;
/** Of a question that no client has asked. */
const NO_TRANSPORT = { send() {}, unreadBytes: 0 };
/** Tells a process that takes over which port was chosen, so that open pages find it. */
const PORT_VARIABLE = 'VLOOP_HTTP_PORT';

/**
 * Listens at the address. `target`: what a process serves, or how it answers itself (the daemon). Throws SocketError when that cannot be; a process that `inherits` disks carries on
 * without a page instead: its guests have not asked for one.
 */
export async function openPage(
  address: HttpAddress,
  call: RpcCall,
  log: Log,
  inherits: boolean,
): Promise<HttpListener | null> {
  try {
    const port = inherits ? Number(process.env[PORT_VARIABLE] ?? address.port) : address.port;
    const parts = await partsFor({ ...address, port }, call, log);
    const listener = await listen(parts, inherits ? PORT_WAIT_MS : 0);
    process.env[PORT_VARIABLE] = new URL(listener.url).port;
    log.info({ url: listener.url }, 'the page is served');
    return listener;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? error.code : String(error);
    const words = `--http=${hostAndPort(address)}: no page there (${reason})`;
    if (!inherits) throw new SocketError(words);
    log.error({ reason }, 'the page could not be taken over: it is not served any more');
    return null;
  }
}

/**
 * A line for a person who wants to see the page: the only place where the token is printed, and not to a journal, which
 * keeps what it is given (systemd.exec(5), JOURNAL_STREAM).
 */
export function pageLine({ url, urlWithToken }: HttpListener): string {
  const { dev, ino } = fstatSync(1);
  const kept = process.env['JOURNAL_STREAM'] === `${dev}:${ino}`;
  return `page    ${kept ? `${url} (its token is in http.token of the run directory)` : urlWithToken}\n`;
}

async function partsFor(address: HttpAddress, call: RpcCall, log: Log): Promise<HttpParts> {
  const [{ RpcSession }, { newToken, tokenOf }] = await Promise.all([
    import('../control/rpc-session.ts'),
    import('../control/http-token.ts'),
  ]);
  const lines = new GuestLines(log);
  return {
    address,
    token: runDirectoryToken(tokenOf, log) ?? newToken(),
    open: (transport) => new RpcSession(call, transport),
    async metrics() {
      const nobody = new RpcSession(call, NO_TRANSPORT);
      return (await call('get_metrics', {}, nobody)) as ResultOf<'get_metrics'>;
    },
    refused(reason, from) {
      lines.say('warn', { reason, from }, 'a client of the page was refused');
    },
  };
}

/** Null: no run directory can be used, so that the token holds for this process only. */
function runDirectoryToken(tokenOf: (directory: string) => string, log: Log): string | null {
  try {
    return tokenOf(makeRunDirectory());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warn({ reason }, 'the token of the page is not kept: it holds until vloop ends');
    return null;
  }
}

async function listen(parts: HttpParts, patienceMs: number): Promise<HttpListener> {
  const { HttpListener } = await import('../control/http-server.ts');
  const endMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return await HttpListener.start(parts);
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (!isTaken || performance.now() >= endMs) throw error;
      await sleep(PORT_LOOK_MS);
    }
  }
}
