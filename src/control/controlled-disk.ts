/**
 * A disk as the control plane knows it: a port. Whoever serves disks (the command line, the library, the daemon)
 * implements it; what the methods take and answer is in schema/methods.ts.
 */
import type { EventHub } from './event-hub.ts';
import type { DiskMethodName, ParamsOf, ResultOf } from './schema/methods.ts';

/** Why an operation is refused, in the words of the kernel's loop driver. */
export type ControlErrorCode =
  | 'EACCES'
  | 'EBADF'
  | 'EBUSY'
  | 'EEXIST'
  | 'EINVAL'
  | 'EIO'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENXIO'
  | 'EOPNOTSUPP'
  | 'EPERM'
  | 'ETIMEDOUT';

/** An operation that was refused; nothing has changed. */
export class ControlError extends Error {
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** One method of a disk. `disk` is among the params, and has been looked up already. */
export type DiskMethod<M extends DiskMethodName> = (
  params: ParamsOf<M>,
) => ResultOf<M> | Promise<ResultOf<M>>;

/** All methods of a disk; each throws ControlError when it refuses. */
export type DiskMethods = { readonly [M in DiskMethodName]: DiskMethod<M> };

export interface ControlledDisk {
  readonly name: string;
  /** Other words that mean this disk: its file, its socket. */
  readonly aliases: readonly string[];
  readonly methods: DiskMethods;
}

/** What a control socket serves. */
export interface ControlTarget {
  readonly version: string;
  readonly pid: number;
  readonly events: EventHub;
  /** The address of the page, without its token. */
  http(): string | null;
  disks(): readonly ControlledDisk[];
}
