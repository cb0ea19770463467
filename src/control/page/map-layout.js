/**
 * Where the cells of a block map stand: rows and columns that fill the canvas, at whole device pixels. On a
 * small screen several cells share a tile, because a tile that cannot be seen says nothing. Pure.
 */

/** In CSS pixels. */
const TILE_MIN = 6;
const GAP = 1;

/** @typedef {{ x: number, y: number, width: number, height: number, from: number, end: number }} Tile */

export class MapLayout {
  cells = 0;
  columns = 1;
  rows = 1;
  tiles = 0;
  #cellsATile = 1;
  #width = 0;
  #height = 0;
  #ratio = 1;

  /**
   * @param {number} cells
   * @param {number} width in CSS pixels, as the height
   * @param {number} height
   * @param {number} ratio device pixels in a CSS pixel
   */
  fit(cells, width, height, ratio) {
    const room = Math.floor(width / TILE_MIN) * Math.floor(height / TILE_MIN);
    this.cells = cells;
    this.#cellsATile = Math.max(1, Math.ceil(cells / Math.max(room, 1)));
    this.tiles = Math.ceil(cells / this.#cellsATile);
    this.rows = Math.max(1, Math.round(Math.sqrt((this.tiles * height) / width)));
    this.columns = Math.max(1, Math.ceil(this.tiles / this.rows));
    this.rows = Math.max(1, Math.ceil(this.tiles / this.columns));
    [this.#width, this.#height, this.#ratio] = [width, height, ratio];
  }

  /**
   * A tile's place in device pixels, and the cells in it.
   * @param {number} index
   * @returns {Tile}
   */
  tile(index) {
    const [column, row] = [index % this.columns, Math.floor(index / this.columns)];
    const gap = Math.max(1, Math.round(GAP * this.#ratio));
    /** @param {number} at */
    const left = (at) => Math.round((at * (this.#width * this.#ratio + gap)) / this.columns);
    /** @param {number} at */
    const top = (at) => Math.round((at * (this.#height * this.#ratio + gap)) / this.rows);
    return {
      x: left(column),
      y: top(row),
      width: Math.max(1, left(column + 1) - left(column) - gap),
      height: Math.max(1, top(row + 1) - top(row) - gap),
      from: index * this.#cellsATile,
      end: Math.min((index + 1) * this.#cellsATile, this.cells),
    };
  }

  /** @param {number} cell */
  tileOf(cell) {
    return Math.floor(cell / this.#cellsATile);
  }

  /**
   * The first cell of the tile at a place in CSS pixels, or -1.
   * @param {number} x
   * @param {number} y
   */
  cellAt(x, y) {
    const column = Math.floor((x / this.#width) * this.columns);
    const row = Math.floor((y / this.#height) * this.rows);
    const tile = row * this.columns + column;
    const isInside = column >= 0 && column < this.columns && row >= 0 && tile < this.tiles;
    return isInside ? tile * this.#cellsATile : -1;
  }
}
