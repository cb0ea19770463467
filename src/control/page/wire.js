/**
 * What the control plane answers, as the page thinks of it. The only file of the page that knows the
 * schema's names: types come from there, so that a change of one is an error in the other.
 */
/** @import { DiskStatus } from '../schema/disk-status.ts' */
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
function stateOf({ state, connected }) {
  if (state === 'rundown') return ['gone', 'ending'];
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
