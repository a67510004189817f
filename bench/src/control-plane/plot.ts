import { median } from '../result.ts';
import type { SizeMeasurement } from './bench.ts';

const WIDTH = 720;
const HEIGHT = 400;
const MARGIN = { left: 70, right: 190, top: 40, bottom: 50 } as const;

interface Series {
  readonly name: string;
  readonly color: string;
  readonly points: readonly (readonly [number, number])[];
}

/** CPU of one change by the size of the cluster, both axes logarithmic, as a picture for the results page. */
export function plotChangeCost(measurements: readonly SizeMeasurement[]): string {
  const series: Series[] = [
    {
      name: 'one change, to 100 ztunnels',
      color: '#0b7285',
      points: measurements.map(({ pods, changeCpuMs }) => [pods, median(changeCpuMs)]),
    },
    {
      name: 'full recomputation, sent to nobody',
      color: '#c92a2a',
      points: measurements.map(({ pods, recomputeCpuMs }) => [pods, recomputeCpuMs]),
    },
  ];
  const all = series.flatMap(({ points }) => points);
  const x = scale(decades(all.map(([pods]) => pods)), MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(decades(all.map(([, ms]) => ms)), HEIGHT - MARGIN.bottom, MARGIN.top);
  const grid = [
    ...x.ticks.map((at) => line(x.of(at), MARGIN.top, x.of(at), HEIGHT - MARGIN.bottom)),
    ...y.ticks.map((at) => line(MARGIN.left, y.of(at), WIDTH - MARGIN.right, y.of(at))),
  ];
  const labels = [
    ...x.ticks.map((at) => text(x.of(at), HEIGHT - MARGIN.bottom + 20, at.toLocaleString('en'), 'middle')),
    ...y.ticks.map((at) => text(MARGIN.left - 8, y.of(at) + 4, `${at} ms`, 'end')),
    text((MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 10, 'pods', 'middle'),
    text(MARGIN.left, 22, 'CPU of the control plane for one change of a pod', 'start'),
  ];
  const lines = series.map(({ color, points, name }) => {
    const path = points.map(([pods, ms]) => `${round(x.of(pods))},${round(y.of(ms))}`).join(' ');
    const dots = points.map(
      ([pods, ms]) => `<circle cx="${round(x.of(pods))}" cy="${round(y.of(ms))}" r="4" fill="${color}"/>`,
    );
    const [, last = 1] = points.at(-1) ?? [];
    return [
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...dots,
      text(WIDTH - MARGIN.right + 10, y.of(last) + 4, name, 'start', color),
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>
${[...grid, ...labels, ...lines].join('\n')}
</svg>
`;
}

function decades(values: readonly number[]): readonly [number, number] {
  return [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
}

function scale([from, to]: readonly [number, number], start: number, end: number) {
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
  const of = (value: number): number => start + ((Math.log10(value) - from) / (to - from)) * (end - start);
  return { ticks, of };
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="#dee2e6"/>`;
}

function text(x: number, y: number, content: string, anchor: string, color = '#212529'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" fill="${color}">${content}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
