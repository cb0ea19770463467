/**
 * The growth benchmark's charts: one figure of small multiples as SVG, drawn by ECharts without a browser. Colours
 * and text are of middle brightness and the ground is clear, so that it reads on a light page and on a dark one.
 */
import { LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { AxisResult, GrowthResult } from './growth-measure.ts';

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const TEXT = '#7d8590';
const LINE = '#7d859055';
/** By the order of series in a panel. */
const COLOURS = ['#2f81f7', '#e0823d', '#2da44e'];
const SYMBOLS = ['circle', 'diamond', 'triangle'];
const COLUMNS = 4;
const PANEL_WIDTH = 270;
const PANEL_HEIGHT = 215;
const FONT = { color: TEXT, fontFamily: 'sans-serif', fontSize: 11 };
const MARGIN = { left: 46, right: 12, top: 62, bottom: 24 };

/** One chart: a value over the points of an axis, a line for each series. */
export type Panel = {
  title: string;
  unit: string;
  xs: readonly string[];
  lines: ReadonlyArray<{ series: string; values: readonly number[] }>;
};

export function panelOf(
  { axis, results }: AxisResult,
  unit: string,
  pick: (result: GrowthResult) => number,
): Panel {
  const xs = [...new Set(results.map(({ x }) => x))];
  const lines = [...Map.groupBy(results, ({ series }) => series)].map(([series, points]) => ({
    series,
    values: points.map(pick),
  }));
  return { title: axis.title, unit, xs, lines };
}

/** The panels of the README's figure, of those axes that were measured. */
export function costPanels(measured: readonly AxisResult[]): Panel[] {
  const costs = measured.map((one) =>
    panelOf(one, 'CPU µs a request', ({ cpuNs }) => cpuNs.median / 1000),
  );
  const disks = measured.find(({ axis }) => axis.name === 'disks');
  if (disks === undefined) return costs;
  return [
    ...costs,
    panelOf(disks, 'MiB at start', ({ idleRssMib }) => idleRssMib.median),
    panelOf(disks, 'ms to start', ({ startMs }) => startMs.median),
  ];
}

export function speedPanels(measured: readonly AxisResult[]): Panel[] {
  return measured.map((one) => panelOf(one, 'k requests/s', ({ iops }) => iops.median / 1000));
}

/** The panels side by side as one SVG document. */
export function drawPanels(panels: readonly Panel[]): string {
  const columns = Math.min(COLUMNS, panels.length);
  const rows = Math.ceil(panels.length / columns);
  const chart = init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: columns * PANEL_WIDTH,
    height: rows * PANEL_HEIGHT,
  });
  const placed = panels.map((panel, i) => ({
    panel,
    left: (i % columns) * PANEL_WIDTH,
    top: Math.floor(i / columns) * PANEL_HEIGHT,
  }));
  chart.setOption({
    animation: false,
    title: placed.map(({ panel, left, top }) => titleOf(panel, left, top)),
    legend: placed.map(({ panel, left, top }) => legendOf(panel, left, top)),
    grid: placed.map(({ left, top }) => ({
      left: left + MARGIN.left,
      top: top + MARGIN.top,
      width: PANEL_WIDTH - MARGIN.left - MARGIN.right,
      height: PANEL_HEIGHT - MARGIN.top - MARGIN.bottom,
    })),
    xAxis: placed.map(({ panel }, i) => ({
      gridIndex: i,
      type: 'category',
      data: [...panel.xs],
      boundaryGap: false,
      axisLabel: FONT,
      axisLine: { lineStyle: { color: LINE } },
      axisTick: { show: false },
    })),
    yAxis: placed.map((_, i) => ({
      gridIndex: i,
      type: 'value',
      min: 0,
      splitNumber: 3,
      axisLabel: FONT,
      splitLine: { lineStyle: { color: LINE } },
    })),
    series: placed.flatMap(({ panel }, i) => linesOf(panel, i)),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

function titleOf({ title, unit }: Panel, left: number, top: number) {
  return {
    text: title,
    subtext: unit,
    left: left + 10,
    top: top + 4,
    itemGap: 3,
    padding: 0,
    textStyle: { ...FONT, fontSize: 13, fontWeight: 600 },
    subtextStyle: FONT,
  };
}

/** Lines are told apart by colour and mark; one line needs no legend. */
function legendOf({ lines }: Panel, left: number, top: number) {
  return {
    show: lines.length > 1,
    selectedMode: false,
    data: lines.map(({ series }) => series),
    left: left + 8,
    top: top + 40,
    padding: 0,
    itemGap: 10,
    itemWidth: 14,
    itemHeight: 7,
    textStyle: { ...FONT, fontSize: 10 },
  };
}

function linesOf({ lines }: Panel, gridIndex: number) {
  return lines.map(({ series, values }, i) => ({
    type: 'line' as const,
    name: series,
    xAxisIndex: gridIndex,
    yAxisIndex: gridIndex,
    data: [...values],
    color: COLOURS[i % COLOURS.length]!,
    symbol: SYMBOLS[i % SYMBOLS.length]!,
    symbolSize: 6,
    lineStyle: { width: 2 },
    // A file has no pointer over it.
    silent: true,
    emphasis: { disabled: true },
  }));
}
