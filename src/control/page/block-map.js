/**
 * The disk as a field of cells, from its first byte at the top left to its last at the bottom right. A cell
 * lights up when the guest reads, writes or discards there, and cools down; where something happened since
 * the process started, a tint remains.
 */
import { byId, setText, sharpContext } from './dom.js';
import { byteRange, bytes, count } from './format.js';
import { MapLayout } from './map-layout.js';
import { channels, isDark, onTheme } from './theme.js';

/** @typedef {{ cellBytes: number, sizeBytes: number, reads: number[], writes: number[], discards: number[] }} MapCounts */

const KINDS = /** @type {const} */ (['reads', 'writes', 'discards']);
const COLOURS = ['read', 'write', 'discard'];
const WORDS = { reads: 'reading', writes: 'writing', discards: 'discarding' };
/** What is left of a cell's light after a second. */
const COOLING = 0.62;
const COLD = 0.03;
const FRAME_MS = 50;
/** Ranges that the summary names of each kind. */
const RANGES_MAX = 3;
const still = window.matchMedia('(prefers-reduced-motion: reduce)');

export class BlockMap {
  #canvas = byId('map', HTMLCanvasElement);
  #note = byId('map-cell', HTMLElement);
  #summary = byId('map-summary', HTMLElement);
  #layout = new MapLayout();
  /** @type {MapCounts | null} */
  #counts = null;
  /** Light of each cell, by kind: 0 to 1. */
  #heat = KINDS.map(() => new Float32Array(0));
  #ground = document.createElement('canvas');
  #lastFrameMs = 0;
  #frame = 0;
  /** The cell that the pointer or the keyboard is at; -1: none. */
  #at = -1;

  constructor() {
    const redraw = () => {
      this.#drawGround();
      this.#draw();
    };
    new ResizeObserver(redraw).observe(this.#canvas);
    onTheme(redraw);
    this.#canvas.addEventListener('pointermove', (event) => {
      this.#point(this.#layout.cellAt(event.offsetX, event.offsetY));
    });
    this.#canvas.addEventListener('pointerleave', () => this.#point(-1));
    this.#canvas.addEventListener('blur', () => this.#point(-1));
    this.#canvas.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Forgets the disk: another one is shown. */
  clear() {
    this.#counts = null;
    this.#at = -1;
    setText(this.#summary, '');
  }

  /** @param {MapCounts} counts */
  set(counts) {
    const before = this.#counts;
    this.#counts = counts;
    const cells = counts.reads.length;
    const isSame = before?.reads.length === cells && before.cellBytes === counts.cellBytes;
    if (!isSame) {
      this.#heat = KINDS.map(() => new Float32Array(cells));
      setText(byId('map-end', HTMLElement), bytes(counts.sizeBytes));
    } else this.#warm(before, counts);
    this.#drawGround();
    this.#showNote();
    if (this.#frame === 0) this.#tick(performance.now());
  }

  /** @param {MapCounts} before @param {MapCounts} counts */
  #warm(before, counts) {
    const happened = KINDS.map((kind, k) => {
      const heat = this.#heat[k] ?? new Float32Array(0);
      /** @type {number[]} */
      const cells = [];
      counts[kind].forEach((total, cell) => {
        // 32 bits that wrap.
        const came = (total - (before[kind][cell] ?? 0)) >>> 0;
        if (came === 0) return;
        cells.push(cell);
        heat[cell] = Math.max(heat[cell] ?? 0, Math.min(1, 0.55 + 0.12 * Math.log2(came)));
      });
      const ranges = rangesOf(cells).map(([from, end]) => {
        const last = Math.min(end * counts.cellBytes, counts.sizeBytes);
        return byteRange(from * counts.cellBytes, last);
      });
      if (ranges.length === 0) return '';
      const isFew = ranges.length <= RANGES_MAX;
      return `${WORDS[kind]} ${isFew ? ranges.join(', ') : `in ${ranges.length} places`}`;
    });
    setText(this.#summary, happened.filter((text) => text !== '').join(' · '));
  }

  /** @param {number} nowMs */
  #tick(nowMs) {
    this.#frame = 0;
    const passedMs = nowMs - this.#lastFrameMs;
    if (passedMs >= FRAME_MS) {
      const left = COOLING ** (Math.min(passedMs, 1000) / 1000);
      this.#lastFrameMs = nowMs;
      let warm = false;
      for (const heat of this.#heat) {
        for (let cell = 0; cell < heat.length; cell++) {
          const value = heat[cell] ?? 0;
          if (value === 0) continue;
          heat[cell] = value < COLD ? 0 : value * left;
          warm = true;
        }
      }
      this.#draw();
      // Without motion the picture changes with what the disk does only.
      if (!warm || still.matches) return;
    }
    this.#frame = requestAnimationFrame((ms) => this.#tick(ms));
  }

  /** Cells that are cold: where nothing ever happened, and where something did. Drawn when counts change. */
  #drawGround() {
    const counts = this.#counts;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (counts === null || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    this.#layout.fit(counts.reads.length, width, height, ratio);
    this.#ground.width = Math.round(width * ratio);
    this.#ground.height = Math.round(height * ratio);
    const context = this.#ground.getContext('2d');
    if (context === null) return;
    const tints = COLOURS.map((name) => `rgb(${channels(name).join(' ')} / 22%)`);
    const empty = isDark() ? '#1b2129' : '#eceff3';
    for (let tile = 0; tile < this.#layout.tiles; tile++) {
      const { x, y, width: w, height: h, from, end } = this.#layout.tile(tile);
      context.fillStyle = empty;
      context.fillRect(x, y, w, h);
      const sums = KINDS.map((kind) => sumOf(counts[kind], from, end));
      // What was discarded last is not known; written cells are the rarer ones, so they are shown before read ones.
      const kind = (sums[1] ?? 0) > 0 ? 1 : (sums[2] ?? 0) > 0 ? 2 : (sums[0] ?? 0) > 0 ? 0 : -1;
      const tint = tints[kind];
      if (tint === undefined) continue;
      context.fillStyle = tint;
      context.fillRect(x, y, w, h);
    }
  }

  #draw() {
    const sharp = sharpContext(this.#canvas);
    if (sharp === null || this.#counts === null) return;
    const { context } = sharp;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.drawImage(this.#ground, 0, 0);
    const colours = COLOURS.map(channels);
    for (let tile = 0; tile < this.#layout.tiles; tile++) {
      const { x, y, width, height, from, end } = this.#layout.tile(tile);
      const heats = this.#heat.map((heat) => maximumOf(heat, from, end));
      const sum = heats.reduce((a, b) => a + b, 0);
      if (sum > 0) {
        const mixed = [0, 1, 2].map((i) =>
          Math.round(colours.reduce((a, c, k) => a + ((c[i] ?? 0) * (heats[k] ?? 0)) / sum, 0)),
        );
        context.fillStyle = `rgb(${mixed.join(' ')} / ${Math.min(1, Math.max(...heats)).toFixed(2)})`;
        context.fillRect(x, y, width, height);
      }
      if (this.#at < from || this.#at >= end) continue;
      context.strokeStyle = isDark() ? '#fff' : '#18202b';
      context.lineWidth = sharp.ratio;
      context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
    }
  }

  /** @param {number} cell */
  #point(cell) {
    if (cell === this.#at) return;
    this.#at = cell;
    this.#showNote();
    this.#draw();
  }

  #showNote() {
    const counts = this.#counts;
    if (counts === null || this.#at < 0) {
      setText(this.#note, counts === null ? '\u00a0' : `a cell is ${bytes(counts.cellBytes)}`);
      return;
    }
    const { from, end } = this.#layout.tile(this.#layout.tileOf(this.#at));
    const last = Math.min(end * counts.cellBytes, counts.sizeBytes);
    const [reads = 0, writes = 0, discards = 0] = KINDS.map((kind) =>
      sumOf(counts[kind], from, end),
    );
    setText(
      this.#note,
      `${byteRange(from * counts.cellBytes, last)}: ${count(reads)} reads, ${count(writes)} writes, ${count(discards)} discards`,
    );
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { columns, tiles } = this.#layout;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step === undefined || this.#counts === null) return;
    event.preventDefault();
    const tile = this.#at < 0 ? 0 : this.#layout.tileOf(this.#at) + step;
    this.#point(this.#layout.tile(Math.min(Math.max(tile, 0), tiles - 1)).from);
  }
}

/**
 * @param {ArrayLike<number>} counts
 * @param {number} from
 * @param {number} end
 */
function sumOf(counts, from, end) {
  let sum = 0;
  for (let cell = from; cell < end; cell++) sum += counts[cell] ?? 0;
  return sum;
}

/**
 * @param {ArrayLike<number>} heat
 * @param {number} from
 * @param {number} end
 */
function maximumOf(heat, from, end) {
  let most = 0;
  for (let cell = from; cell < end; cell++) most = Math.max(most, heat[cell] ?? 0);
  return most;
}

/**
 * Neighbours as ranges, the longest first.
 * @param {number[]} cells ascending
 * @returns {[number, number][]} first, and the one behind the last
 */
function rangesOf(cells) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const cell of cells) {
    const open = ranges.at(-1);
    if (open !== undefined && open[1] === cell) open[1] = cell + 1;
    else ranges.push([cell, cell + 1]);
  }
  return ranges.sort((a, b) => b[1] - b[0] - (a[1] - a[0]));
}
