/**
 * One client's subscription to events. A client that reads too slowly misses some and is told how many: events
 * never pile up, and never hold anybody else back. How many were lost is told before the next event, and as soon as
 * the client has read what it was sent: there may be no next one for long.
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
  const tellLost = () => {
    const count = lost;
    lost = 0;
    if (count > 0) session.notify(EVENTS_LOST, { count });
  };
  session.onRead = tellLost;
  const end = hub.subscribe(({ name, params }) => {
    if (!wanted.has(name)) return;
    if (session.unreadBytes > BACKLOG_BYTES_MAX) {
      lost++;
      return;
    }
    tellLost();
    session.notify(name, params);
  });
  session.onEnd(end);
  return names;
}
