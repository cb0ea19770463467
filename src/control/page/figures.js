/**
 * Counters become rates: two looks at a disk's counters, and what happened between them, per queue and in
 * total. Pure: what the page shows of load is computed here and nowhere else.
 */

/** @typedef {'read' | 'write' | 'flush' | 'discard'} Operation */
/** @type {readonly Operation[]} */
export const OPERATIONS = ['read', 'write', 'flush', 'discard'];

/**
 * Requests by the nanoseconds at which their bucket starts.
 * @typedef {ReadonlyMap<number, number>} Histogram
 */

/**
 * Counters since the start of a queue.
 * @typedef {object} QueueCounters
 * @property {number} queue
 * @property {number} inFlight
 * @property {Record<Operation, number>} requests
 * @property {number} readBytes
 * @property {number} writtenBytes
 * @property {Record<Operation, Histogram>} latency
 */

/**
 * One look at a disk.
 * @typedef {object} Look
 * @property {number} atMs
 * @property {QueueCounters[]} queues
 */

/**
 * What happened in a second or so.
 * @typedef {object} Rates
 * @property {number} inFlight
 * @property {Record<Operation, number>} requests a second
 * @property {number} readBytes a second
 * @property {number} writtenBytes a second
 * @property {Record<Operation, Map<number, number>>} latency
 */

/**
 * One column of every chart: the total and each queue.
 * @typedef {object} Moment
 * @property {number} atMs
 * @property {Rates} total
 * @property {Map<number, Rates>} queues
 */

/** @returns {Rates} */
export function noRates() {
  return {
    inFlight: 0,
    requests: { read: 0, write: 0, flush: 0, discard: 0 },
    readBytes: 0,
    writtenBytes: 0,
    latency: { read: new Map(), write: new Map(), flush: new Map(), discard: new Map() },
  };
}

/**
 * Adds what happened to one queue between two looks.
 * @param {Rates} into
 * @param {QueueCounters} now
 * @param {QueueCounters | undefined} before
 * @param {number} seconds
 */
function addDifference(into, now, before, seconds) {
  into.inFlight += now.inFlight;
  into.readBytes += (now.readBytes - (before?.readBytes ?? 0)) / seconds;
  into.writtenBytes += (now.writtenBytes - (before?.writtenBytes ?? 0)) / seconds;
  for (const operation of OPERATIONS) {
    const came = now.requests[operation] - (before?.requests[operation] ?? 0);
    into.requests[operation] += came / seconds;
    const latency = into.latency[operation];
    for (const [startNs, total] of now.latency[operation]) {
      const inBucket = total - (before?.latency[operation].get(startNs) ?? 0);
      if (inBucket > 0) latency.set(startNs, (latency.get(startNs) ?? 0) + inBucket);
    }
  }
}

/** @param {QueueCounters} queue */
const answered = (queue) => OPERATIONS.reduce((sum, name) => sum + queue.requests[name], 0);

/**
 * What happened between two looks, or null when the counters began anew in between: another process.
 * @param {Look} before
 * @param {Look} now
 * @returns {Moment | null}
 */
export function between(before, now) {
  const seconds = (now.atMs - before.atMs) / 1000;
  const earlier = new Map(before.queues.map((queue) => [queue.queue, queue]));
  const isAnew = now.queues.some((queue) => {
    const known = earlier.get(queue.queue);
    return known !== undefined && answered(queue) < answered(known);
  });
  if (seconds <= 0 || isAnew) return null;
  /** @type {Moment} */
  const moment = { atMs: now.atMs, total: noRates(), queues: new Map() };
  for (const queue of now.queues) {
    const rates = noRates();
    for (const into of [rates, moment.total]) {
      addDifference(into, queue, earlier.get(queue.queue), seconds);
    }
    moment.queues.set(queue.queue, rates);
  }
  return moment;
}

/**
 * The histograms of several operations as one.
 * @param {Rates} rates
 * @param {readonly Operation[]} operations
 * @returns {Map<number, number>}
 */
export function latencyOf(rates, operations) {
  /** @type {Map<number, number>} */
  const sum = new Map();
  for (const operation of operations) {
    for (const [startNs, requests] of rates.latency[operation]) {
      sum.set(startNs, (sum.get(startNs) ?? 0) + requests);
    }
  }
  return sum;
}

/**
 * The nanoseconds that each share of the requests did not exceed, to a bucket, or null without requests.
 * @param {Histogram} histogram
 * @param {readonly number[]} shares
 * @returns {(number | null)[]}
 */
export function percentiles(histogram, shares) {
  const buckets = [...histogram].sort(([a], [b]) => a - b);
  const total = buckets.reduce((sum, [, requests]) => sum + requests, 0);
  return shares.map((share) => {
    let left = Math.max(1, Math.ceil(share * total));
    for (const [startNs, requests] of buckets) {
      left -= requests;
      if (left <= 0) return startNs;
    }
    return null;
  });
}
