/**
 * The charts and the table of queues: what they show, in which units, of which queues and operations.
 */
/** @import { Look, Operation, Rates } from './figures.js' */
import { Chart } from './charts.js';
import { byId, make, setText } from './dom.js';
import { latencyOf, OPERATIONS, percentiles } from './figures.js';
import { byteRate, bytes, count, duration } from './format.js';
import { HeatMap } from './heat-map.js';
import { History, linesOf, percentileLines } from './history.js';

const SHARES = [0.5, 0.9, 0.99];
const OPERATION_WORDS = { read: 'reads', write: 'writes', flush: 'flushes', discard: 'discards' };
const SUM = /** @type {const} */ (['read', 'write', 'flush', 'discard']);

/** @param {Rates} rates */
const allRequests = ({ requests }) => SUM.reduce((sum, name) => sum + requests[name], 0);

export class Load {
  #history = new History();
  #scope = byId('scope', HTMLSelectElement);
  #operation = byId('operation', HTMLSelectElement);
  #rows = byId('queues', HTMLElement);
  #heat = new HeatMap();
  #iops = new Chart('iops', {
    lines: [
      { label: 'read', colour: 'read', filled: true },
      { label: 'write', colour: 'write', filled: true },
      { label: 'other', colour: 'other' },
    ],
    format: count,
  });
  #bandwidth = new Chart('bandwidth', {
    lines: [
      { label: 'read', colour: 'read', filled: true },
      { label: 'write', colour: 'write', filled: true },
    ],
    format: byteRate,
    axisFormat: bytes,
    binary: true,
    least: 2 ** 20,
  });
  #latency = new Chart('latency', {
    lines: [
      { label: 'p50', colour: 'other' },
      { label: 'p90', colour: 'read' },
      { label: 'p99', colour: 'discard' },
    ],
    format: duration,
    logarithmic: true,
  });
  #depth = new Chart('depth', {
    lines: [{ label: 'in flight', colour: 'read', filled: true }],
    format: count,
    least: 4,
  });

  constructor() {
    this.#operation.append(make('option', { value: 'all' }, 'all requests'));
    for (const name of OPERATIONS) {
      this.#operation.append(make('option', { value: name }, OPERATION_WORDS[name]));
    }
    this.#scope.addEventListener('change', () => this.show());
    this.#operation.addEventListener('change', () => this.show());
    this.show();
  }

  /** Forgets what was: another disk is shown. */
  clear() {
    this.#history.clear();
    this.#scope.value = 'total';
    this.show();
  }

  /** @param {Look} look */
  add(look) {
    this.#history.add(look);
    this.show();
  }

  /** @returns {readonly Operation[]} */
  get #operations() {
    const chosen = OPERATIONS.find((name) => name === this.#operation.value);
    return chosen === undefined ? OPERATIONS : [chosen];
  }

  show() {
    this.#showScopes();
    const queue = this.#scope.value === 'total' ? null : Number(this.#scope.value);
    const { seconds, rates } = this.#history.of(queue);
    this.#iops.set(
      seconds,
      linesOf(rates, [
        ({ requests }) => requests.read,
        ({ requests }) => requests.write,
        ({ requests }) => requests.flush + requests.discard,
      ]),
    );
    this.#bandwidth.set(
      seconds,
      linesOf(rates, [({ readBytes }) => readBytes, ({ writtenBytes }) => writtenBytes]),
    );
    this.#latency.set(seconds, percentileLines(rates, this.#operations, SHARES));
    this.#depth.set(seconds, linesOf(rates, [({ inFlight }) => inFlight]));
    this.#heat.set(
      rates.map((each, i) => ({
        seconds: seconds[i] ?? 0,
        histogram: each === null ? new Map() : latencyOf(each, this.#operations),
      })),
    );
    this.#showNow(rates.at(-1) ?? null);
    this.#showQueues();
  }

  /** @param {Rates | null} now */
  #showNow(now) {
    /** @param {string} id @param {string} text */
    const set = (id, text) => setText(byId(id, HTMLElement), now === null ? '–' : text);
    const histogram = now === null ? new Map() : latencyOf(now, this.#operations);
    const [middle = null, , high = null] = percentiles(histogram, SHARES);
    set('iops-now', now === null ? '' : count(allRequests(now)));
    set('bandwidth-now', now === null ? '' : byteRate(now.readBytes + now.writtenBytes));
    set('heat-now', `median ${duration(middle)}`);
    set('latency-now', `p99 ${duration(high)}`);
    set('depth-now', now === null ? '' : `${now.inFlight}`);
  }

  /** One option a queue; the choice stays while its queue does. */
  #showScopes() {
    const queues = this.#history.queues();
    const known = [...this.#scope.options].slice(1).map(({ value }) => Number(value));
    if (queues.length === 0 || queues.join() === known.join()) return;
    const { value } = this.#scope;
    this.#scope.replaceChildren(
      make('option', { value: 'total' }, 'all together'),
      ...queues.map((queue) => make('option', { value: `${queue}` }, `queue ${queue}`)),
    );
    this.#scope.value = queues.includes(Number(value)) ? value : 'total';
  }

  #showQueues() {
    const queues = this.#history.queues();
    while (this.#rows.children.length > queues.length) this.#rows.lastElementChild?.remove();
    while (this.#rows.children.length < queues.length) {
      const cells = Array.from({ length: 6 }, () => make('td'));
      this.#rows.append(make('tr', {}, make('th', { scope: 'row' }), ...cells));
    }
    queues.forEach((queue, i) => {
      const now = this.#history.of(queue).rates.at(-1);
      const row = this.#rows.children[i];
      if (now === null || now === undefined || row === undefined) return;
      const [high = null] = percentiles(latencyOf(now, this.#operations), [0.99]);
      const texts = [
        `${queue}`,
        `${now.inFlight}`,
        count(now.requests.read),
        count(now.requests.write),
        byteRate(now.readBytes),
        byteRate(now.writtenBytes),
        duration(high),
      ];
      texts.forEach((text, column) => {
        const cell = row.children[column];
        if (cell !== undefined) setText(cell, text);
      });
    });
  }
}
