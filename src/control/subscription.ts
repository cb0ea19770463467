/**
 * One client's subscription to events. A client that reads too slowly misses some and is told how many: events
 * never pile up, and never hold anybody else back.
 */
import type { EventHub } from './event-hub.ts';
import type { RpcSession } from './rpc-session.ts';
import { EVENTS_LOST, type EventName } from './schema/events.ts';

/** Unread bytes of a client from which on events are left out. */
export const BACKLOG_BYTES_MAX = 256 * 1024;

/** Sends the events named to the session until it ends, and what it subscribed to before, each once. */
export function subscribe(
  hub: EventHub,
  session: RpcSession,
  names: readonly EventName[],
): readonly EventName[] {
  if (session.subscribed !== null) {
    for (const name of names) session.subscribed.add(name);
    return names;
  }
  const wanted = new Set<string>(names);
  session.subscribed = wanted;
  let lost = 0;
  const end = hub.subscribe(({ name, params }) => {
    if (!wanted.has(name)) return;
    if (session.unreadBytes > BACKLOG_BYTES_MAX) {
      lost++;
      return;
    }
    if (lost > 0) session.notify(EVENTS_LOST, { count: lost });
    lost = 0;
    session.notify(name, params);
  });
  session.onEnd(end);
  return names;
}
