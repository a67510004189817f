import { isLogLevel, type AdminHandler, type AdminResponse, type LogLevel } from '@weft/telemetry';
import { formatAddress } from '../engine/types.ts';
import { compileRegex, InvalidValue } from '../matching/index.ts';
import {
  isUsed,
  PROMETHEUS_CONTENT_TYPE,
  prometheusText,
  statsJson,
  statsText,
  type Statistic,
} from '../stats/index.ts';
import { certsJson } from './certs-page.ts';
import { clustersJson, clustersText } from './clusters-page.ts';
import { configDump } from './config-dump.ts';
import { addressJson } from './clusters-page.ts';
import type { AdminSources } from './sources.ts';

/** The admin pages by path, for telemetry's `AdminServer`; what changes the proxy takes POST only, as Envoy's does. */
export function adminRoutes(sources: AdminSources): Readonly<Record<string, AdminHandler>> {
  const routes: Record<string, AdminHandler> = {
    '/ready': () => ready(sources),
    '/server_info': () => json(serverInfo(sources)),
    '/stats': ({ url }) => stats(sources, url.searchParams),
    '/stats/prometheus': ({ url }) => prometheus(sources, url.searchParams),
    '/config_dump': ({ url }) => dump(sources, url.searchParams),
    '/clusters': ({ url }) =>
      url.searchParams.get('format') === 'json'
        ? json(clustersJson(sources.clusters()))
        : { body: clustersText(sources.clusters()) },
    '/listeners': ({ url }) => listeners(sources, url.searchParams),
    '/certs': () => json(certsJson(sources.certificates(), Date.now())),
    '/memory': () => json(memory()),
    '/init_dump': () => json(initDump(sources)),
    '/hot_restart_version': () => ({ body: 'disabled\n' }),
    '/logging': post(({ url }) => logging(sources, url.searchParams)),
    '/reset_counters': post(() => ok(() => sources.stats.resetCounters())),
    '/reopen_logs': post(() => ok(() => sources.reopenLogs())),
    '/healthcheck/fail': post(() => ok(() => sources.failHealthChecks(true))),
    '/healthcheck/ok': post(() => ok(() => sources.failHealthChecks(false))),
    '/drain_listeners': post(({ url: { searchParams: q } }) =>
      ok(() => sources.drainListeners({ graceful: q.has('graceful'), inboundOnly: q.has('inboundonly') })),
    ),
    '/quitquitquit': post(() => ok(() => sources.quit())),
  };
  const help = Object.keys(routes)
    .sort()
    .map((path) => `  ${path}\n`)
    .join('');
  routes['/help'] = () => ({ body: `admin commands are:\n${help}` });
  routes['/'] = routes['/help'];
  return routes;
}

function post(handler: AdminHandler): AdminHandler {
  return (request) =>
    request.method === 'POST' ? handler(request) : { status: 405, body: 'Method Not Allowed\n' };
}

function ok(act: () => void): AdminResponse {
  act();
  return { body: 'OK\n' };
}

function json(value: object): AdminResponse {
  return { contentType: 'application/json', body: `${JSON.stringify(value, undefined, 1)}\n` };
}

function ready(sources: AdminSources): AdminResponse {
  const state = sources.state();
  return { status: state === 'LIVE' ? 200 : 503, body: `${state}\n` };
}

function serverInfo(sources: AdminSources): object {
  const { node, version, startTimeMs } = sources;
  const uptime = `${Math.floor((Date.now() - startTimeMs) / 1000)}s`;
  return {
    version: `weft/${version}`,
    state: sources.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    node: {
      id: node.id,
      cluster: node.cluster,
      metadata: node.metadata,
      ...(node.locality ? { locality: node.locality } : {}),
    },
  };
}

function stats(sources: AdminSources, query: URLSearchParams): AdminResponse {
  const format = query.get('format');
  if (format === 'prometheus') return prometheus(sources, query);
  const selected = selectStats(sources, query);
  if (!Array.isArray(selected)) return selected;
  return format === 'json'
    ? { contentType: 'application/json', body: statsJson(selected) }
    : { body: statsText(selected) };
}

function prometheus(sources: AdminSources, query: URLSearchParams): AdminResponse {
  const selected = selectStats(sources, query);
  if (!Array.isArray(selected)) return selected;
  return { contentType: PROMETHEUS_CONTENT_TYPE, body: prometheusText(selected) };
}

const TYPES: Readonly<Record<string, Statistic['kind']>> = {
  Counters: 'counter',
  Gauges: 'gauge',
  Histograms: 'histogram',
};

/** By `usedonly`, `filter` (a regular expression found anywhere), `invert_filter` and `type`. */
function selectStats(sources: AdminSources, query: URLSearchParams): Statistic[] | AdminResponse {
  const usedOnly = query.has('usedonly');
  const kind = TYPES[query.get('type') ?? ''];
  const filter = searcher(query.get('filter'));
  if (typeof filter === 'object') return filter;
  const invert = query.has('invert_filter');
  return sources.stats
    .all()
    .filter(
      (s) =>
        (!usedOnly || isUsed(s)) &&
        (kind === undefined || s.kind === kind) &&
        (filter === undefined || filter(s.fullName) !== invert),
    );
}

function dump(sources: AdminSources, query: URLSearchParams): AdminResponse {
  const nameMatches = searcher(query.get('name_regex'));
  if (typeof nameMatches === 'object') return nameMatches;
  const resource = query.get('resource');
  return json(
    configDump(sources.resources(), {
      includeEndpoints: query.has('include_eds'),
      ...(resource === null ? {} : { resource }),
      ...(nameMatches === undefined ? {} : { nameMatches }),
    }),
  );
}

function listeners(sources: AdminSources, query: URLSearchParams): AdminResponse {
  const all = [...sources.listeners()];
  if (query.get('format') === 'json') {
    return json({
      listener_statuses: all.map(({ name, address }) => ({ name, local_address: addressJson(address) })),
    });
  }
  return { body: all.map(({ name, address }) => `${name}::${formatAddress(address)}\n`).join('') };
}

function memory(): object {
  const { heapUsed, heapTotal, rss, external } = process.memoryUsage();
  return {
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal),
    total_physical_bytes: String(rss),
  };
}

function initDump(sources: AdminSources): object {
  const unready = [...sources.resources()].filter((r) => r.state === 'warming');
  return { unready_targets_dumps: unready.map((r) => ({ name: r.kind, target_names: [r.name] })) };
}

const ENVOY_LEVELS: Readonly<Record<string, LogLevel>> = { warning: 'warn', critical: 'error' };

/** `?level=debug`, `?paths=rbac:debug,jwt:info`, or `?rbac=debug`. */
function logging(sources: AdminSources, query: URLSearchParams): AdminResponse {
  for (const [key, value] of query) {
    const changes =
      key === 'paths'
        ? value.split(',').map((pair) => pair.split(':', 2))
        : [[key === 'level' ? undefined : key, value]];
    for (const [scope, text = ''] of changes) {
      const level = ENVOY_LEVELS[text] ?? text;
      if (!isLogLevel(level)) return { status: 400, body: `unknown log level "${text}"\n` };
      sources.logLevels.set(level, scope);
    }
  }
  const loggers = sources.logLevels.toString().split(',');
  const lines = loggers.map((l) => `  ${l.includes('=') ? l.replace('=', ': ') : `default: ${l}`}\n`);
  return { body: `active loggers:\n${lines.join('')}` };
}

/** A regular expression of the query, found anywhere in the text. */
function searcher(pattern: string | null): ((text: string) => boolean) | undefined | AdminResponse {
  if (pattern === null || pattern === '') return undefined;
  try {
    return compileRegex({ regex: `(?s).*(?:${pattern}).*` });
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return { status: 400, body: `Invalid regex: "${error.reason}"\n` };
  }
}
