/**
 * What the control plane answers, as the page thinks of it. The only file of the page that knows the
 * schema's names: types come from there, so that a change of one is an error in the other.
 */
/** @import { BlockMapResult, DiskStats, QueueStats } from '../schema/disk-stats.ts' */
/** @import { DiskStatus } from '../schema/disk-status.ts' */
/** @import { EventName } from '../schema/events.ts' */
/** @import { MapCounts } from './block-map.js' */
/** @import { Look, QueueCounters } from './figures.js' */
import { bytes } from './format.js';

/**
 * A disk as the head of the page shows it.
 * @typedef {object} DiskView
 * @property {string} name
 * @property {'idle' | 'running' | 'paused' | 'gone'} state
 * @property {string} stateWord
 * @property {boolean} directIo
 * @property {number} sizeBytes
 * @property {[string, string][]} facts
 * @property {string[]} features what the connected front-end has negotiated
 */

/**
 * @param {DiskStatus} status
 * @returns {[DiskView['state'], string]}
 */
function stateOf({ state, connected, quiesced }) {
  if (state === 'rundown') return ['gone', 'ending'];
  if (quiesced) return ['paused', 'paused'];
  return connected ? ['running', 'connected'] : ['idle', 'no front-end'];
}

/**
 * @param {DiskStatus} status
 * @returns {DiskView}
 */
export function diskView(status) {
  const [state, stateWord] = stateOf(status);
  const { engine, io_path: path } = status;
  return {
    name: status.name,
    state,
    stateWord,
    directIo: status.direct_io,
    sizeBytes: status.size,
    facts: [
      ['file', status.back_file ?? 'none: it is in memory'],
      ['size', `${bytes(status.size)}${status.read_only ? ', read-only' : ''}`],
      ['engine', path === 'engine' ? engine : `${engine}, ${path}`],
      ['mode', status.direct_io ? 'direct I/O' : 'buffered'],
      ['blocks', bytes(status.block_size)],
      ['socket', status.socket ?? 'inherited'],
    ],
    features: status.connected ? status.features.map(shortName) : [],
  };
}

/**
 * VIRTIO_BLK_F_FLUSH → FLUSH: what the header files put before it says nothing here.
 * @param {string} name
 */
const shortName = (name) => name.replace(/^VIRTIO_(BLK_|RING_)?F_/, '');

/** @param {number[][]} pairs */
const histogramOf = (pairs) =>
  new Map(pairs.map(([startNs = 0, requests = 0]) => [startNs, requests]));

/**
 * Written zeroes are writes here, as they are on the block map.
 * @param {QueueStats} stats
 * @returns {QueueCounters}
 */
function queueCounters(stats) {
  const { read, write, flush, discard, write_zeroes: zeroes } = stats.latency;
  const written = histogramOf(write);
  for (const [startNs, requests] of histogramOf(zeroes)) {
    written.set(startNs, (written.get(startNs) ?? 0) + requests);
  }
  return {
    queue: stats.queue,
    inFlight: stats.in_flight,
    requests: {
      read: stats.reads,
      write: stats.writes + stats.write_zeroes,
      flush: stats.flushes,
      discard: stats.discards,
    },
    readBytes: stats.bytes_read,
    writtenBytes: stats.bytes_written + stats.bytes_zeroed,
    latency: {
      read: histogramOf(read),
      write: written,
      flush: histogramOf(flush),
      discard: histogramOf(discard),
    },
  };
}

/**
 * @param {DiskStats} stats
 * @returns {Look}
 */
export function lookOf(stats) {
  return { atMs: stats.at_ms, queues: stats.queues.map(queueCounters) };
}

/**
 * @param {BlockMapResult} map
 * @returns {MapCounts}
 */
export function mapCounts({ cell_size: cellBytes, size: sizeBytes, reads, writes, discards }) {
  return { cellBytes, sizeBytes, reads, writes, discards };
}

/** @typedef {{ text: string, weight: 'plain' | 'warn' | 'bad' }} Told */

/** @type {Record<EventName, (params: Record<string, unknown>) => Told>} */
const EVENTS = {
  disk_attached: () => ({ text: 'is served', weight: 'plain' }),
  disk_detached: () => ({ text: 'is served no more', weight: 'warn' }),
  disk_connected: () => ({ text: 'a front-end has connected', weight: 'plain' }),
  disk_disconnected: () => ({ text: 'the front-end has gone', weight: 'plain' }),
  disk_quiesced: () => ({ text: 'paused', weight: 'warn' }),
  disk_resumed: () => ({ text: 'resumed', weight: 'plain' }),
  disk_resized: ({ size }) => ({ text: `has ${bytes(Number(size))} now`, weight: 'plain' }),
  disk_changing: () => ({ text: 'settings are about to change', weight: 'plain' }),
  disk_changed: () => ({ text: 'a setting has changed', weight: 'plain' }),
  disk_error: ({ operation, error, offset }) => ({
    text: `the file failed: ${operation} at ${bytes(Number(offset))}: ${error}`,
    weight: 'bad',
  }),
  disk_violation: ({ vring, violation }) => ({
    text: `the guest broke queue ${vring}: ${violation}`,
    weight: 'bad',
  }),
};

/**
 * An event in words.
 * @param {string} method
 * @param {unknown} params
 * @returns {Told}
 */
export function eventText(method, params) {
  const known = EVENTS[/** @type {EventName} */ (method)];
  const fields = /** @type {Record<string, unknown>} */ (params);
  if (known === undefined) return { text: `${method} ${JSON.stringify(fields)}`, weight: 'plain' };
  const { text, weight } = known(fields);
  return { text: `${fields['disk']}: ${text}`, weight };
}
