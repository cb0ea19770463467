/**
 * From a method's name and params to what is carried out: looks both up in the schema, checks them, finds the
 * disk. Knows no transport.
 */
import {
  ControlError,
  type ControlledDisk,
  type ControlTarget,
  type DiskMethods,
} from './controlled-disk.ts';
import { INVALID_PARAMS, METHOD_NOT_FOUND, RpcError } from './json-rpc.ts';
import type { RpcCall, RpcSession } from './rpc-session.ts';
import { EVENT_NAMES } from './schema/events.ts';
import { type DiskMethodName, isMethodName, methods, type ParamsOf } from './schema/methods.ts';
import { subscribe } from './subscription.ts';
import { complaint } from './validate.ts';

/** The disk that `word` means. Throws ControlError when it is none, or more than one. */
export function findDisk(disks: readonly ControlledDisk[], word: string): ControlledDisk {
  const named = disks.find((disk) => disk.name === word);
  if (named !== undefined) return named;
  const meant = disks.filter((disk) => disk.aliases.includes(word));
  if (meant.length === 1) return meant[0]!;
  const names = disks.map(({ name }) => name).join(', ') || 'none';
  if (meant.length === 0) {
    throw new ControlError('ENODEV', `disk=${word}: no such disk here; there are: ${names}`);
  }
  throw new ControlError('EINVAL', `disk=${word}: ${meant.length} disks are meant, say the name`);
}

type AnyDiskMethod = (params: unknown) => unknown;

/** Carries out the methods of `target`. */
export function dispatchTo(target: ControlTarget): RpcCall {
  const own: Readonly<Record<string, (params: unknown, session: RpcSession) => unknown>> = {
    rpc_get_methods: () =>
      Object.entries(methods).flatMap(([name, { of }]) => (of === 'daemon' ? [] : [name])),
    save_config: async () => ({
      disks: await Promise.all(
        target.disks().map((disk) => disk.methods.disk_get_config(named(disk))),
      ),
    }),
    get_version: () => ({ version: target.version, pid: target.pid, http: target.http() }),
    disk_list: async () =>
      await Promise.all(target.disks().map((disk) => disk.methods.disk_get_status(named(disk)))),
    get_metrics: async () => {
      const { metricsOfTarget } = await import('./metrics.ts');
      return await metricsOfTarget(target);
    },
    subscribe: (params, session) =>
      subscribe(target.events, session, (params as ParamsOf<'subscribe'>).events ?? EVENT_NAMES),
  };
  return (method, params, session) => {
    if (!isMethodName(method)) {
      throw new RpcError(METHOD_NOT_FOUND, `method ${method}: unknown, see rpc_get_methods`);
    }
    const wrong = complaint(methods[method].params, params, 'params');
    if (wrong !== null) throw new RpcError(INVALID_PARAMS, wrong);
    const { of } = methods[method];
    if (of === 'daemon') throw new ControlError('EOPNOTSUPP', `${method}: vloop daemon does that`);
    if (of === 'process') return own[method]!(params, session);
    const disk = findDisk(target.disks(), (params as { readonly disk: string }).disk);
    // The table says what the params are, and they have been checked against it.
    return (disk.methods[method as DiskMethodName & keyof DiskMethods] as AnyDiskMethod)(params);
  };
}

function named(disk: ControlledDisk): { disk: string } {
  return { disk: disk.name };
}
