/**
 * Where events of disks meet those who want to hear of them. Costs nothing while nobody does; a guest can cause
 * events, so whoever emits one has to bound their number.
 */
import type { EventName } from './schema/events.ts';

export interface DiskEvent {
  readonly name: EventName;
  readonly params: Readonly<Record<string, unknown>> & { readonly disk: string };
}

export type EventListener = (event: DiskEvent) => void;

export class EventHub {
  readonly #listeners = new Set<EventListener>();

  emit(name: EventName, disk: string, more: Readonly<Record<string, unknown>> = {}): void {
    for (const listener of this.#listeners) listener({ name, params: { disk, ...more } });
  }

  /** Returns what ends the subscription. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
