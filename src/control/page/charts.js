/**
 * Line charts: uPlot with the page's colours, a time axis that stands still, and a legend that says the
 * values of now, or of where the pointer is. All charts share the pointer.
 */

/** @import UPlot from 'uplot' */
import { byId, make, setText } from './dom.js';
import { niceMaximum } from './format.js';
import { canvasFont, colour, onTheme } from './theme.js';

// From its package, under a name that the browser can ask for; types come from the package as well.
const address = '/uplot.js';
const uPlot = /** @type {typeof UPlot} */ ((await import(address)).default);

import { WINDOW_SECONDS } from './history.js';

const HEIGHT = 176;
const AXIS_WIDTH = 60;

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {string} colour of the theme
 * @property {boolean} [filled]
 */

/**
 * @typedef {object} ChartOptions
 * @property {Line[]} lines
 * @property {(value: number) => string} format
 * @property {(value: number) => string} [axisFormat]
 * @property {boolean} [binary] the scale's steps are powers of two
 * @property {boolean} [logarithmic]
 * @property {number} [least] the scale's least maximum
 */

/** @param {number} seconds before now */
const timeLabel = (seconds) => (seconds === 0 ? 'now' : `${seconds / 60} min`.replace('-', '−'));

export class Chart {
  #plot;
  #options;
  #values;
  /** @type {UPlot.AlignedData} */
  #data;

  /**
   * @param {string} id of the element it stands in; its legend is `<id>-legend`
   * @param {ChartOptions} options
   */
  constructor(id, options) {
    const place = byId(id, HTMLElement);
    this.#options = options;
    this.#data = [[], ...options.lines.map(() => [])];
    this.#values = options.lines.map(({ label, colour: name }) => {
      const value = make('b');
      byId(`${id}-legend`, HTMLElement).append(make('li', { class: name }, `${label} `, value));
      return value;
    });
    const width = Math.max(place.clientWidth, 100);
    this.#plot = new uPlot(this.#uplotOptions(width), this.#data, place);
    new ResizeObserver(() => {
      this.#plot.setSize({ width: Math.max(place.clientWidth, 100), height: HEIGHT });
    }).observe(place);
    onTheme(() => this.#plot.redraw(false));
  }

  /**
   * @param {number} width
   * @returns {UPlot.Options}
   */
  #uplotOptions(width) {
    const { lines, format, axisFormat = format, logarithmic = false } = this.#options;
    const axis = {
      stroke: () => colour('faint'),
      grid: { stroke: () => colour('edge'), width: 1 },
      ticks: { show: false },
      font: canvasFont(),
    };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: { sync: { key: 'vloop' }, y: false, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: [-WINDOW_SECONDS, 0] },
        y: logarithmic
          ? { distr: 3, range: (_, low, high) => decades(low, high) }
          : { range: (_, __, high) => this.#linearRange(high) },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          splits: () => [-180, -120, -60, 0],
          values: (_, splits) => splits.map(timeLabel),
        },
        {
          ...axis,
          size: AXIS_WIDTH,
          splits: (_, __, low, high) => (logarithmic ? powers(low, high) : quarters(high)),
          values: (_, splits) => splits.map((value) => (value === null ? '' : axisFormat(value))),
        },
      ],
      series: [{}, ...lines.map((line) => seriesOf(line))],
      hooks: { setCursor: [() => this.#showValues()] },
    };
  }

  /** @param {number | null} high @returns {[number, number]} */
  #linearRange(high) {
    const { binary = false, least = 10 } = this.#options;
    return [0, niceMaximum(Math.max(high ?? 0, least), binary)];
  }

  /**
   * @param {number[]} seconds before now, ascending
   * @param {(number | null)[][]} lines
   */
  set(seconds, lines) {
    this.#data = [seconds, ...lines];
    this.#plot.setData(this.#data);
    this.#showValues();
  }

  #showValues() {
    const last = this.#data[0].length - 1;
    const at = this.#plot.cursor.idx ?? last;
    this.#values.forEach((element, i) => {
      const value = this.#data[i + 1]?.[at];
      setText(element, value === null || value === undefined ? '–' : this.#options.format(value));
    });
  }
}

/** @param {Line} line @returns {UPlot.Series} */
function seriesOf({ label, colour: name, filled = false }) {
  return {
    label,
    stroke: () => colour(name),
    width: 1.5,
    points: { show: false },
    ...(filled && { fill: () => `${colour(name)}1c` }),
  };
}

/** @param {number | null} low @param {number | null} high @returns {[number, number]} */
function decades(low, high) {
  if (low === null || high === null || low <= 0) return [1e4, 1e7];
  const [from, to] = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
  return [from, Math.max(to, from * 100)];
}

/** @param {number} low @param {number} high */
function powers(low, high) {
  const splits = [];
  for (let value = low; value <= high * 1.01; value *= 10) splits.push(value);
  return splits;
}

/** @param {number} high */
const quarters = (high) => [0, high / 4, high / 2, (3 * high) / 4, high];
