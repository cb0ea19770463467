/**
 * Every request's latency over time: a column a second, a row a fraction of a power of two, the darker
 * (on a dark page: the brighter) the more requests. Shows two humps where a percentile shows a line between.
 */

import { byId, sharpContext } from './dom.js';
import { duration } from './format.js';
import { WINDOW_SECONDS } from './history.js';
import { canvasFont, colour, isDark, onTheme } from './theme.js';

const LEFT = 60;
const RIGHT = 18;
const TOP = 8;
const BOTTOM = 26;
const ROWS_PER_OCTAVE = 3;

/** Stops of the two ramps, from few to many: red, green, blue. */
const DARK = [
  [28, 38, 66],
  [52, 64, 140],
  [118, 70, 178],
  [205, 83, 132],
  [250, 150, 90],
  [255, 232, 170],
];
const LIGHT = [
  [226, 236, 249],
  [170, 204, 242],
  [96, 158, 224],
  [52, 104, 190],
  [58, 54, 142],
  [34, 22, 82],
];

/** @param {number} share 0 to 1 @returns {string} */
function rampColour(share) {
  const stops = isDark() ? DARK : LIGHT;
  const place = Math.min(Math.max(share, 0), 0.9999) * (stops.length - 1);
  const [below, above] = [stops[Math.floor(place)] ?? [], stops[Math.floor(place) + 1] ?? []];
  const part = place - Math.floor(place);
  const mixed = below.map((value, i) => Math.round(value + ((above[i] ?? value) - value) * part));
  return `rgb(${mixed.join(' ')})`;
}

/** @param {number} ns */
const rowOf = (ns) => Math.floor(Math.log2(Math.max(ns, 1)) * ROWS_PER_OCTAVE);

/** @typedef {{ seconds: number, histogram: ReadonlyMap<number, number> }} Column */

export class HeatMap {
  #canvas = byId('heat', HTMLCanvasElement);
  /** @type {Column[]} */
  #columns = [];

  constructor() {
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    onTheme(() => this.#draw());
  }

  /** @param {Column[]} columns `seconds` before now */
  set(columns) {
    this.#columns = columns;
    this.#draw();
  }

  /** Requests by row of each column, and the rows and the count that the picture has to hold. */
  #rows() {
    let [least, most, peak] = [rowOf(1e4), rowOf(1e7), 1];
    const columns = this.#columns.map(({ seconds, histogram }) => {
      /** @type {Map<number, number>} */
      const rows = new Map();
      for (const [startNs, requests] of histogram) {
        const row = rowOf(startNs);
        const sum = (rows.get(row) ?? 0) + requests;
        rows.set(row, sum);
        [least, most, peak] = [Math.min(least, row), Math.max(most, row), Math.max(peak, sum)];
      }
      return { seconds, rows };
    });
    // By whole factors of four: the axis stands still while single requests stray.
    const step = 2 * ROWS_PER_OCTAVE;
    least = Math.floor(least / step) * step;
    most = Math.ceil((most + 1) / step) * step;
    return { columns, least, most, peak };
  }

  #draw() {
    const sharp = sharpContext(this.#canvas);
    if (sharp === null) return;
    const { context, width, height } = sharp;
    const { columns, least, most, peak } = this.#rows();
    const [plotWidth, plotHeight] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
    const rowHeight = plotHeight / (most - least);
    const columnWidth = plotWidth / WINDOW_SECONDS;
    /** @param {number} row */
    const yOf = (row) => TOP + plotHeight - (row - least) * rowHeight;
    context.clearRect(0, 0, width, height);
    for (const { seconds, rows } of columns) {
      const x = LEFT + (seconds + WINDOW_SECONDS) * columnWidth;
      if (x - columnWidth < LEFT) continue;
      for (const [row, requests] of rows) {
        context.fillStyle = rampColour(Math.log1p(requests) / Math.log1p(peak));
        context.fillRect(x - columnWidth, yOf(row + 1) + 0.5, columnWidth + 0.3, rowHeight - 0.5);
      }
    }
    this.#drawAxes(context, { width, height, least, most, yOf });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {{ width: number, height: number, least: number, most: number, yOf(row: number): number }} frame
   */
  #drawAxes(context, { width, height, least, most, yOf }) {
    context.font = canvasFont();
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (let power = 3; power <= 11; power++) {
      const row = Math.log2(10 ** power) * ROWS_PER_OCTAVE;
      if (row < least || row > most) continue;
      context.fillStyle = colour('faint');
      context.fillText(duration(10 ** power), LEFT - 8, yOf(row));
      context.fillStyle = colour('edge');
      context.globalAlpha = 0.6;
      context.fillRect(LEFT, Math.round(yOf(row)), width - LEFT - RIGHT, 1);
      context.globalAlpha = 1;
    }
    context.fillStyle = colour('faint');
    context.textAlign = 'center';
    const plotWidth = width - LEFT - RIGHT;
    for (const minutes of [3, 2, 1, 0]) {
      const x = LEFT + plotWidth * (1 - minutes / 3);
      const text = minutes === 0 ? 'now' : `−${minutes} min`;
      const half = context.measureText(text).width / 2;
      context.fillText(text, Math.min(x, width - half - 1), height - 10);
    }
  }
}
