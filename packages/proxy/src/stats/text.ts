import type { Statistic } from './stats-store.ts';

const QUANTILES = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

/** `/stats`: `name: value`, a line each, histograms with their quantiles. */
export function statsText(statistics: Iterable<Statistic>): string {
  let out = '';
  for (const statistic of statistics) out += `${statistic.fullName}: ${statValue(statistic)}\n`;
  return out;
}

/** `/stats?format=json`. */
export function statsJson(statistics: Iterable<Statistic>): string {
  const plain: object[] = [];
  const computed: object[] = [];
  for (const statistic of statistics) {
    const { fullName: name, kind } = statistic;
    if (kind !== 'histogram') plain.push({ name, value: statistic.value.value });
    else {
      const values = QUANTILES.map((q) => ({
        interval: null,
        cumulative: statistic.value.quantile(q) ?? null,
      }));
      computed.push({ name, values });
    }
  }
  const histograms = {
    histograms: {
      supported_quantiles: QUANTILES.map((q) => q * 100),
      computed_quantiles: computed,
    },
  };
  return `${JSON.stringify({ stats: computed.length > 0 ? [...plain, histograms] : plain })}\n`;
}

/** Whether it was ever changed: `?usedonly`. */
export function isUsed(statistic: Statistic): boolean {
  return statistic.kind === 'histogram' ? statistic.value.count > 0 : statistic.value.value !== 0;
}

function statValue(statistic: Statistic): string {
  if (statistic.kind !== 'histogram') return String(statistic.value.value);
  const { value } = statistic;
  if (value.count === 0) return 'No recorded values';
  return QUANTILES.map((q) => `P${q * 100}(nan,${Number((value.quantile(q) ?? 0).toPrecision(6))})`).join(
    ' ',
  );
}
