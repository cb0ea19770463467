/**
 * Subscriptions: which events a client is told, how often, and what becomes of those that it is too slow for.
 */
import { expect, test } from 'vitest';
import { EventHub } from '../../../src/control/event-hub.ts';
import { RpcSession } from '../../../src/control/rpc-session.ts';
import { BACKLOG_BYTES_MAX, subscribe } from '../../../src/control/subscription.ts';

interface Heard {
  readonly method: string;
  readonly params: unknown;
}

/** A client whose unread bytes the test sets. */
function client() {
  const heard: Heard[] = [];
  const transport = {
    unreadBytes: 0,
    send(text: string) {
      const { method, params } = JSON.parse(text) as Heard;
      heard.push({ method, params });
    },
  };
  return { heard, transport, session: new RpcSession(() => null, transport) };
}

test('only what was asked for is told, and nothing after the end', () => {
  const hub = new EventHub();
  const { heard, session } = client();
  expect(subscribe(hub, session, ['disk_resized'])).toEqual(['disk_resized']);
  hub.emit('disk_connected', 'd');
  hub.emit('disk_resized', 'd', { size: 512 });
  session.close();
  hub.emit('disk_resized', 'd', { size: 1024 });
  expect(heard).toEqual([{ method: 'disk_resized', params: { disk: 'd', size: 512 } }]);
});

test('a thousand subscriptions of one client are one, of all that it has named', () => {
  const hub = new EventHub();
  let listeners = 0;
  const counted = {
    subscribe(...[listener]: Parameters<EventHub['subscribe']>) {
      listeners++;
      return hub.subscribe(listener);
    },
  } as EventHub;
  const { heard, session } = client();
  for (let i = 0; i < 1000; i++) subscribe(counted, session, ['disk_connected']);
  subscribe(counted, session, ['disk_resumed']);
  hub.emit('disk_connected', 'd');
  hub.emit('disk_resumed', 'd');
  expect(heard.map(({ method }) => method)).toEqual(['disk_connected', 'disk_resumed']);
  expect(listeners).toBe(1);
});

test('a client that does not read loses events, and is told how many; others lose none', () => {
  const hub = new EventHub();
  const [slow, fast] = [client(), client()];
  subscribe(hub, slow.session, ['disk_connected']);
  subscribe(hub, fast.session, ['disk_connected']);
  slow.transport.unreadBytes = BACKLOG_BYTES_MAX + 1;
  for (let i = 0; i < 3; i++) hub.emit('disk_connected', 'd');
  expect(slow.heard).toEqual([]);
  slow.transport.unreadBytes = 0;
  hub.emit('disk_connected', 'd');
  hub.emit('disk_connected', 'd');
  const connected = { method: 'disk_connected', params: { disk: 'd' } };
  expect(slow.heard).toEqual([
    { method: 'events_lost', params: { count: 3 } },
    connected,
    connected,
  ]);
  expect(fast.heard).toEqual(Array.from({ length: 5 }, () => connected));
});

test('a client that has read what it was sent is told what it lost, once, without another event', () => {
  const hub = new EventHub();
  const { heard, transport, session } = client();
  subscribe(hub, session, ['disk_connected']);
  session.onRead();
  transport.unreadBytes = BACKLOG_BYTES_MAX + 1;
  for (let i = 0; i < 3; i++) hub.emit('disk_connected', 'd');
  expect(heard).toEqual([]);
  transport.unreadBytes = 0;
  session.onRead();
  session.onRead();
  expect(heard).toEqual([{ method: 'events_lost', params: { count: 3 } }]);
});
