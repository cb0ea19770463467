/**
 * A front-end broke the vhost-user protocol. `fatal` errors leave the byte stream or the file
 * descriptors in doubt and end the session; the others are answered when the message asked for it.
 */
export class ProtocolError extends Error {
  readonly code = 'VHOST_USER_PROTOCOL';
  readonly fatal: boolean;

  constructor(message: string, { fatal = false } = {}) {
    super(message);
    this.fatal = fatal;
  }
}

/** Throws what a port refused in words, if it did; null for the dispatcher, which has no reply then. */
export function refuseWith(row: { readonly name: string }, refusal: string | null): null {
  if (refusal !== null) throw new ProtocolError(`${row.name}: ${refusal}`);
  return null;
}
