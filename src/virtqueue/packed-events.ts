/**
 * Notification suppression of a packed ring: what the driver has asked of calls, what the device asks of kicks. One
 * structure each way, read and written as one word, so that neither side sees a half. Once a batch, not once a request.
 * Source: virtio 1.3 §2.8.10, §2.8.14.
 */
import {
  VRING_PACKED_EVENT_FLAG_DESC,
  VRING_PACKED_EVENT_FLAG_DISABLE,
  VRING_PACKED_EVENT_FLAG_ENABLE,
  vringPackedDescEvent,
} from '../../protocol/virtio-ring.ts';
import { loadAcquire32, storeRelease32 } from './barrier.ts';
import {
  INDEX_MASK,
  lapDistance,
  positionOf,
  type WrappedIndex,
  wrappedIndexOf,
} from './packed-position.ts';
import { eventText, type RingPosition } from './ring-position.ts';

/** An event's flags in the word that holds its offset, too. */
const EVENT_FLAGS_SHIFT = 8 * (vringPackedDescEvent.at.flags - vringPackedDescEvent.at.off_wrap);
const EVENT_FLAGS_MASK = 3;
const OFF_WRAP_MASK = 0xffff;

export interface PackedEventsParts {
  readonly size: number;
  /** One vring_packed_desc_event each: the driver's (read), the device's (written). */
  readonly driverEvent: Int32Array;
  readonly deviceEvent: Int32Array;
}

export class PackedEvents {
  readonly #size: number;
  readonly #driverEvent: Int32Array;
  readonly #deviceEvent: Int32Array;
  readonly #eventIdx: boolean;

  constructor({ size, driverEvent, deviceEvent }: PackedEventsParts, eventIdx: boolean) {
    this.#size = size;
    this.#driverEvent = driverEvent;
    this.#deviceEvent = deviceEvent;
    this.#eventIdx = eventIdx;
  }

  /** Whether the driver wants a call for the used descriptors from one position to another, just published. */
  wantsCall(oldAt: number, newAt: number): boolean {
    const event = loadAcquire32(this.#driverEvent, 0);
    const flags = (event >>> EVENT_FLAGS_SHIFT) & EVENT_FLAGS_MASK;
    if (flags === VRING_PACKED_EVENT_FLAG_DISABLE) return false;
    // What means nothing (an offset beyond the ring, DESC without EVENT_IDX, 3) gets a call too many.
    const named = flags === VRING_PACKED_EVENT_FLAG_DESC && this.#eventIdx;
    if (!named || (event & INDEX_MASK) >= this.#size) return true;
    const wantedAt = positionOf((event & OFF_WRAP_MASK) as WrappedIndex, this.#size);
    return lapDistance(oldAt, wantedAt, this.#size) < lapDistance(oldAt, newAt, this.#size);
  }

  suppressKicks(): void {
    const event = VRING_PACKED_EVENT_FLAG_DISABLE << EVENT_FLAGS_SHIFT;
    storeRelease32(this.#deviceEvent, 0, event);
  }

  /** Kicks are wanted from a position on. The caller looks at the ring once more afterwards. */
  armKicks(availAt: number): void {
    // Offset and flags in one store: a driver sees both or neither.
    const event = this.#eventIdx
      ? wrappedIndexOf(availAt, this.#size) | (VRING_PACKED_EVENT_FLAG_DESC << EVENT_FLAGS_SHIFT)
      : VRING_PACKED_EVENT_FLAG_ENABLE << EVENT_FLAGS_SHIFT;
    storeRelease32(this.#deviceEvent, 0, event);
  }

  /** For people. */
  texts(): RingPosition {
    const text = (word: number) => {
      const wrapped = (word & OFF_WRAP_MASK) as WrappedIndex;
      const flags = (word >>> EVENT_FLAGS_SHIFT) & EVENT_FLAGS_MASK;
      return eventText(flags, wrapped & INDEX_MASK, wrapped > INDEX_MASK);
    };
    return {
      event_idx: this.#eventIdx,
      driver_wants_call: text(loadAcquire32(this.#driverEvent, 0)),
      device_wants_kick: text(loadAcquire32(this.#deviceEvent, 0)),
    };
  }
}
