import {
  Counter,
  Gauge,
  Histogram,
  Registry,
  openMetricsContentType,
  prometheusContentType,
  type OpenMetricsContentType,
  type PrometheusContentType,
} from 'prom-client';

export { Counter, Gauge, Histogram };
export type MetricsRegistry = Registry<OpenMetricsContentType>;

export type PrometheusRegistry = Registry<PrometheusContentType>;

/** A registry that prints the older text format, where counters have no `_total`: istiod's and its dashboards' form. */
export function createPrometheusRegistry(): PrometheusRegistry {
  const registry = new Registry<PrometheusContentType>();
  registry.setContentType(prometheusContentType);
  return registry;
}

/** A registry that prints OpenMetrics text, ended by `# EOF`. One per process, passed to whoever counts. */
export function createMetricsRegistry(): MetricsRegistry {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(openMetricsContentType);
  return registry;
}

/** Content type by the scraper's Accept header; the text is the same. */
export function metricsContentType(accept: string | undefined): string {
  return accept?.includes('application/openmetrics-text') === true
    ? 'application/openmetrics-text;charset=utf-8;version=1.0.0'
    : 'text/plain; charset=utf-8';
}
