import { HISTOGRAM_BOUNDS } from './histogram.ts';
import type { Statistic } from './stats-store.ts';
import type { Tags } from './tags.ts';

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Prometheus text: one TYPE line per metric, its series together. */
export function prometheusText(statistics: Iterable<Statistic>): string {
  const metrics = new Map<string, Statistic[]>();
  for (const statistic of statistics) {
    // One name with two kinds would be two TYPE lines, which scrapers refuse.
    const key = `${metricName(statistic)} ${statistic.kind}`;
    const series = metrics.get(key);
    if (series === undefined) metrics.set(key, [statistic]);
    else series.push(statistic);
  }
  const seen = new Set<string>();
  let out = '';
  for (const [key, series] of [...metrics].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [name = '', kind = ''] = key.split(' ');
    if (seen.has(name)) continue;
    seen.add(name);
    out += `# TYPE ${name} ${kind}\n`;
    for (const statistic of series) out += seriesText(name, statistic);
  }
  return out;
}

/** `envoy_` and every other character than letters, digits and `_` replaced. */
export function metricName(statistic: Statistic): string {
  const name = statistic.name.replace(/[^A-Za-z0-9_]/g, '_');
  return statistic.custom ? name : `envoy_${name}`;
}

function seriesText(name: string, statistic: Statistic): string {
  const { tags } = statistic;
  if (statistic.kind !== 'histogram') return `${name}${labels(tags)} ${statistic.value.value}\n`;
  const { value } = statistic;
  let out = '';
  for (const [i, count] of value.cumulative().entries()) {
    out += `${name}_bucket${labels(tags, String(HISTOGRAM_BOUNDS[i]))} ${count}\n`;
  }
  out += `${name}_bucket${labels(tags, '+Inf')} ${value.count}\n`;
  return `${out}${name}_sum${labels(tags)} ${value.sum}\n${name}_count${labels(tags)} ${value.count}\n`;
}

function labels(tags: Tags, le?: string): string {
  const parts = Object.entries(tags).map(([k, v]) => `${k.replace(/[^A-Za-z0-9_]/g, '_')}="${escape(v)}"`);
  if (le !== undefined) parts.push(`le="${le}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escape(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}
