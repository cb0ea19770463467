/**
 * JSON-RPC 2.0 messages: what is a request, what is an answer, which code means what. Text and values only; no
 * sockets, no methods. Source: www.jsonrpc.org/specification.
 */
export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;
/** The operation was refused: `data.code` says why (EBUSY, ENXIO, …). Of the range for servers. */
export const REFUSED = -32000;

export type RequestId = string | number | null;

export interface RpcRequest {
  readonly method: string;
  readonly params: unknown;
  /** Undefined: a notification, which is never answered. */
  readonly id: RequestId | undefined;
}

/** An error that is answered as it is. */
export class RpcError extends Error {
  readonly code: number;
  readonly reason: string | undefined;

  constructor(code: number, message: string, reason?: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is RequestId {
  return value === null || typeof value === 'string' || typeof value === 'number';
}

/** The id that an answer to `value` has to bear, whatever else is wrong with it. */
export function idOf(value: unknown): RequestId {
  return isObject(value) && isId(value['id']) ? value['id'] : null;
}

/** Throws RpcError when `value` is no request. */
export function toRequest(value: unknown): RpcRequest {
  if (!isObject(value)) throw new RpcError(INVALID_REQUEST, 'a request is an object');
  const { jsonrpc, method, params, id } = value;
  if (jsonrpc !== '2.0') throw new RpcError(INVALID_REQUEST, 'jsonrpc: expected "2.0"');
  if (typeof method !== 'string') throw new RpcError(INVALID_REQUEST, 'method: expected a string');
  if (id !== undefined && !isId(id)) {
    throw new RpcError(INVALID_REQUEST, 'id: expected a string, a number or null');
  }
  if (params !== undefined && (typeof params !== 'object' || params === null)) {
    throw new RpcError(INVALID_REQUEST, 'params: expected an object');
  }
  return { method, params: params ?? {}, id };
}

export function resultAnswer(id: RequestId, result: unknown): object {
  return { jsonrpc: '2.0', id, result: result ?? null };
}

export function errorAnswer(id: RequestId, error: RpcError): object {
  const { code, message, reason } = error;
  const data = reason === undefined ? {} : { data: { code: reason } };
  return { jsonrpc: '2.0', id, error: { code, message, ...data } };
}

/** An event, which is sent without having been asked for one by one. */
export function notification(method: string, params: unknown): object {
  return { jsonrpc: '2.0', method, params };
}
