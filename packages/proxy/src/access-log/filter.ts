import { envoy } from '@weft/api/envoy';
import type { StreamInfo } from '../engine/types.ts';
import { at, compileHeaderMatcher, compileMetadataMatcher, invalid, required } from '../matching/index.ts';
import { grpcStatusOf } from './grpc-status.ts';
import { isResponseFlag } from './response-flags.ts';

type Filter = envoy.config.accesslog.v3.AccessLogFilter.$Properties;
export type LogFilter = (info: StreamInfo) => boolean;

/** Whether a finished stream is worth a line. `random`: uniform in [0, 1), for the runtime filter. */
export function compileLogFilter(filter: Filter, random: () => number): LogFilter {
  switch (filter.filterSpecifier) {
    case 'statusCodeFilter': {
      const compare = at('status_code_filter', () => comparison(filter.statusCodeFilter?.comparison));
      return (info) => compare(info.responseCode ?? 0);
    }
    case 'durationFilter': {
      const compare = at('duration_filter', () => comparison(filter.durationFilter?.comparison));
      return ({ timings }) => compare((timings.end ?? performance.now()) - timings.start);
    }
    case 'andFilter':
      return all(list('and_filter', filter.andFilter?.filters, random));
    case 'orFilter': {
      const filters = list('or_filter', filter.orFilter?.filters, random);
      return (info) => filters.some((wants) => wants(info));
    }
    case 'headerFilter': {
      const matches = at('header_filter.header', () =>
        compileHeaderMatcher(required(filter.headerFilter?.header, '')),
      );
      return ({ requestHeaders }) => requestHeaders !== undefined && matches(requestHeaders);
    }
    case 'responseFlagFilter': {
      const flags = filter.responseFlagFilter?.flags ?? [];
      for (const flag of flags)
        if (!isResponseFlag(flag)) invalid(`"${flag}" is no flag`, 'response_flag_filter.flags');
      return ({ responseFlags }) =>
        flags.length === 0
          ? responseFlags.size > 0
          : flags.some((f) => isResponseFlag(f) && responseFlags.has(f));
    }
    case 'grpcStatusFilter': {
      const { statuses, exclude } = filter.grpcStatusFilter ?? {};
      const codes = new Set<number>(statuses ?? []);
      return (info) => codes.has(grpcStatusOf(info) ?? 0) !== (exclude === true);
    }
    case 'metadataFilter': {
      const { matcher, matchIfKeyNotFound } = filter.metadataFilter ?? {};
      if (!matcher) return () => true;
      const matches = at('metadata_filter.matcher', () => compileMetadataMatcher(matcher));
      const absent = matchIfKeyNotFound?.value ?? true;
      return ({ dynamicMetadata }) =>
        dynamicMetadata.has(matcher.filter ?? '') ? matches((ns) => dynamicMetadata.get(ns)) : absent;
    }
    case 'runtimeFilter': {
      const { percentSampled } = filter.runtimeFilter ?? {};
      const denominator = [100, 10_000, 1_000_000][percentSampled?.denominator ?? 0] ?? 100;
      const share = (percentSampled?.numerator ?? 0) / denominator;
      return () => random() < share;
    }
    case 'notHealthCheckFilter':
      return ({ requestHeaders }) => requestHeaders?.get('user-agent')?.startsWith('Envoy/HC') !== true;
    default:
      return invalid(`${filter.filterSpecifier ?? 'filter_specifier'} is not supported`);
  }
}

export function all(filters: readonly LogFilter[]): LogFilter {
  return (info) => filters.every((wants) => wants(info));
}

function list(
  path: string,
  filters: readonly Filter[] | null | undefined,
  random: () => number,
): readonly LogFilter[] {
  return (filters ?? []).map((f, i) => at(`${path}.filters[${i}]`, () => compileLogFilter(f, random)));
}

function comparison(
  config: envoy.config.accesslog.v3.ComparisonFilter.$Properties | null | undefined,
): (value: number) => boolean {
  const { Op } = envoy.config.accesslog.v3.ComparisonFilter;
  const limit = required(config?.value, 'comparison.value').defaultValue ?? 0;
  switch (config?.op ?? Op.EQ) {
    case Op.EQ:
      return (value) => value === limit;
    case Op.GE:
      return (value) => value >= limit;
    case Op.LE:
      return (value) => value <= limit;
    default:
      return (value) => value !== limit;
  }
}
