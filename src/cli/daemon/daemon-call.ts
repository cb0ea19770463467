/**
 * What the daemon's control socket answers: its own methods, and every method of a disk passed on to the process that
 * has it, by the table of methods alone: a method that is new there works here.
 */
import { ControlError } from '../../control/controlled-disk.ts';
import { INVALID_PARAMS, METHOD_NOT_FOUND, RpcError } from '../../control/json-rpc.ts';
import type { RpcCall, RpcSession } from '../../control/rpc-session.ts';
import type { DiskConfig } from '../../control/schema/disk-config.ts';
import { EVENT_NAMES } from '../../control/schema/events.ts';
import { isMethodName, methods, type ParamsOf } from '../../control/schema/methods.ts';
import { subscribe } from '../../control/subscription.ts';
import { complaint } from '../../control/validate.ts';
import type { Fleet } from './fleet.ts';

type OwnMethod = (params: unknown, session: RpcSession) => unknown;

/** Carries out the methods of a daemon. `http`: where its page is. */
export function daemonCall(fleet: Fleet, version: string, http: () => string | null): RpcCall {
  const own: Readonly<Record<string, OwnMethod>> = {
    rpc_get_methods: () => Object.keys(methods),
    get_version: () => ({ version, pid: process.pid, http: http() }),
    disk_list: () => fleet.list(),
    subscribe: (params, session) =>
      subscribe(fleet.events, session, (params as ParamsOf<'subscribe'>).events ?? EVENT_NAMES),
    disk_attach: (params) => fleet.attach(params as DiskConfig),
    save_config: async () => ({ disks: await fleet.save() }),
    load_config: (params) => fleet.load((params as { disks: DiskConfig[] }).disks),
  };
  return async (method, params, session) => {
    if (!isMethodName(method)) {
      throw new RpcError(METHOD_NOT_FOUND, `method ${method}: unknown, see rpc_get_methods`);
    }
    const wrong = complaint(methods[method].params, params, 'params');
    if (wrong !== null) throw new RpcError(INVALID_PARAMS, wrong);
    if (methods[method].of === 'disk') {
      return await fleet.forward(method, params as Readonly<Record<string, unknown>>);
    }
    const mine = own[method];
    if (mine === undefined) {
      throw new ControlError('EOPNOTSUPP', `${method}: the daemon does not do that, a disk does`);
    }
    return await mine(params, session);
  };
}
