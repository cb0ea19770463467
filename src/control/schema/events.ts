/**
 * What a subscriber is told without asking again: JSON-RPC notifications whose method is the event's name. Every
 * event of a disk names the disk.
 */
import type { JsonSchema } from './json-schema.ts';

export interface EventRow {
  readonly summary: string;
  /** Besides `disk`. */
  readonly params: Readonly<Record<string, JsonSchema>>;
}

export const events = {
  disk_attached: { summary: 'the disk is served', params: {} },
  disk_detached: { summary: 'the disk is served no more', params: {} },
  disk_connected: { summary: 'a front-end has connected', params: {} },
  disk_disconnected: { summary: 'the front-end has gone', params: {} },
  disk_quiesced: { summary: 'the disk stands still', params: {} },
  disk_resumed: { summary: 'the disk goes on', params: {} },
  disk_resized: {
    summary: 'the guest sees another size',
    params: { size: { type: 'integer', description: 'bytes' } },
  },
  disk_changing: { summary: 'settings or the file are about to change', params: {} },
  disk_changed: { summary: 'a setting has changed: ask for the status', params: {} },
  disk_error: {
    summary: 'the backing file failed; of more of the same one in half a minute is told',
    params: {
      operation: { type: 'string' },
      error: { type: 'string', description: "the errno's name" },
      offset: { type: 'integer', description: 'bytes into the disk' },
    },
  },
  disk_violation: {
    summary: 'the guest broke a vring',
    params: { vring: { type: 'integer' }, violation: { type: 'string' } },
  },
} as const satisfies Readonly<Record<string, EventRow>>;

export type EventName = keyof typeof events;
/** Not empty, which is what the type of the schema that names them hangs on. */
export const EVENT_NAMES = Object.keys(events) as [EventName, ...EventName[]];

/** Sent in place of events that a subscriber was too slow for. */
export const EVENTS_LOST = 'events_lost';
