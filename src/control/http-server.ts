/**
 * http on loopback: the page's files, `/metrics`, `/healthz`, and the WebSocket that carries JSON-RPC. Off
 * unless asked for. Nothing is answered to another site or machine, and nothing that says or does anything
 * without the token; the page's own files hold no secret, so they need none. No request has a body.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { type HttpAddress, hostAndPort } from './http-address.ts';
import { PageFiles } from './http-files.ts';
import { bearerToken, foreignness, isToken, subprotocolToken, WS_PROTOCOL } from './http-guard.ts';
import { MESSAGE_BYTES_MAX, type OpenTextSession, WsClient } from './ws-client.ts';

export interface HttpParts {
  readonly address: HttpAddress;
  readonly token: string;
  readonly open: OpenTextSession;
  /** The text of `/metrics`; without it there are none. */
  metrics?(): Promise<{ readonly type: string; readonly text: string }>;
  /** Somebody was refused or cut off. Whoever is told limits the lines: strangers cause them. */
  refused(reason: string, from: string): void;
}

/** Sockets at once, and of them WebSockets: a browser has one and up to six others. */
const SOCKETS_MAX = 64;
const WEB_SOCKETS_MAX = 16;
/** Headers have to be here by then, and a connection that asks nothing more is closed. */
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5000;
const HEADER_BYTES_MAX = 8192;

/** The words of a status line: a refused handshake is written by hand. */
const REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  503: 'Service Unavailable',
};

class Refusal {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string) {
    this.status = status;
    this.reason = reason;
  }
}

/** What somebody did who has no business here; a path that does not exist is a typing error. */
const WORTH_A_LINE: readonly number[] = [401, 403, 503];

const ALWAYS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** `self` covers a WebSocket in new browsers only, so its address is said. */
function contentPolicy(host: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ws://${host}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}

export class HttpListener {
  readonly #parts: HttpParts;
  readonly #files = new PageFiles();
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false,
    autoPong: false,
    handleProtocols: () => WS_PROTOCOL,
  });

  private constructor(parts: HttpParts) {
    this.#parts = parts;
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: KEEP_ALIVE_MS,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = SOCKETS_MAX;
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Throws the system's error when the address cannot be had. */
  static async start(parts: HttpParts): Promise<HttpListener> {
    const listener = new HttpListener(parts);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject);
      listener.#server.listen({ ...parts.address, exclusive: true }, resolve);
    });
    // A page that is open keeps no process alive that has nothing else to do.
    listener.#server.unref();
    return listener;
  }

  /** Without the token: for logs and for status. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://${hostAndPort({ host: this.#parts.address.host, port })}/`;
  }

  /** The token stands behind the #: browsers send that part nowhere, so no log and no Referer has it. */
  get urlWithToken(): string {
    return `${this.url}#token=${this.#parts.token}`;
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #tell(reason: string, request: IncomingMessage): void {
    this.#parts.refused(reason, fromWhere(request));
  }

  #needToken(given: string | undefined): void {
    if (!isToken(given, this.#parts.token)) {
      throw new Refusal(401, 'the token is missing or wrong');
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      response.setHeaders(new Headers(ALWAYS));
      needOwnSite(request);
      response.setHeader('content-security-policy', contentPolicy(request.headers.host!));
      await this.#route(request, response);
    } catch (error) {
      const refusal =
        error instanceof Refusal ? error : new Refusal(500, 'this could not be answered');
      if (WORTH_A_LINE.includes(refusal.status)) this.#tell(refusal.reason, request);
      if (refusal.status === 401) response.setHeader('www-authenticate', 'Bearer');
      send(request, response, refusal.status, 'text/plain; charset=utf-8', `${refusal.reason}\n`);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      throw new Refusal(405, 'only GET and HEAD: changes are made over the WebSocket');
    }
    const path = request.url!.split('?')[0]!;
    const bearer = bearerToken(request.headers.authorization);
    if (path === '/healthz') {
      send(request, response, 200, 'text/plain; charset=utf-8', 'ok\n');
    } else if (path === '/token') {
      // A page cannot see why a WebSocket was refused: it asks here first.
      this.#needToken(bearer);
      response.writeHead(204).end();
    } else if (path === '/metrics' && this.#parts.metrics !== undefined) {
      this.#needToken(bearer);
      const { type, text } = await this.#parts.metrics();
      send(request, response, 200, type, text);
    } else {
      const file = this.#files.get(path);
      if (file === undefined) throw new Refusal(404, 'there is nothing here');
      send(request, response, 200, file.type, file.bytes);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    try {
      needOwnSite(request);
      if (request.url !== '/ws') throw new Refusal(404, 'the WebSocket is at /ws');
      this.#needToken(subprotocolToken(request.headers['sec-websocket-protocol']));
      if (this.#sockets.clients.size >= WEB_SOCKETS_MAX) {
        throw new Refusal(503, `${WEB_SOCKETS_MAX} pages are open already`);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (WORTH_A_LINE.includes(error.status)) this.#tell(error.reason, request);
      const status = `${error.status} ${REASONS[error.status]}`;
      socket.end(
        `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n${error.reason}\n`,
      );
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      new WsClient(client, this.#parts.open, (reason) => this.#tell(reason, request));
    });
  }
}

function fromWhere(request: IncomingMessage): string {
  return request.headers.origin ?? request.headers['user-agent'] ?? 'unknown';
}

function needOwnSite({ headers }: IncomingMessage): void {
  const reason = foreignness(headers);
  if (reason !== null) throw new Refusal(403, reason);
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(request.method === 'HEAD' ? undefined : body);
}
