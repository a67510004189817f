import type { ResponseFlag } from '../engine/types.ts';

/** Short form to long form, in the order in which Envoy prints them. */
export const responseFlagNames: Readonly<Record<ResponseFlag, string>> = {
  LH: 'FailedLocalHealthCheck',
  UH: 'NoHealthyUpstream',
  UT: 'UpstreamRequestTimeout',
  LR: 'LocalReset',
  UR: 'UpstreamRemoteReset',
  UF: 'UpstreamConnectionFailure',
  UC: 'UpstreamConnectionTermination',
  UO: 'UpstreamOverflow',
  NR: 'NoRouteFound',
  DI: 'DelayInjected',
  FI: 'FaultInjected',
  RL: 'RateLimited',
  UAEX: 'UnauthorizedExternalService',
  RLSE: 'RateLimitServiceError',
  DC: 'DownstreamConnectionTermination',
  URX: 'UpstreamRetryLimitExceeded',
  SI: 'StreamIdleTimeout',
  IH: 'InvalidEnvoyRequestHeaders',
  DPE: 'DownstreamProtocolError',
  UMSDR: 'UpstreamMaxStreamDurationReached',
  NFCF: 'NoFilterConfigFound',
  DT: 'DurationTimeout',
  UPE: 'UpstreamProtocolError',
  NC: 'NoClusterFound',
  OM: 'OverloadManagerTerminated',
  DF: 'DnsResolutionFailed',
  DO: 'DropOverload',
  UDO: 'UnconditionalDropOverload',
  DR: 'DownstreamRemoteReset',
};

const order = Object.keys(responseFlagNames) as ResponseFlag[]; // the record's keys are the type's members

/** `UF,URX`; undefined for none. */
export function formatFlags(flags: ReadonlySet<ResponseFlag>): string | undefined {
  if (flags.size === 0) return undefined;
  return order.filter((flag) => flags.has(flag)).join(',');
}

export function formatFlagsLong(flags: ReadonlySet<ResponseFlag>): string | undefined {
  if (flags.size === 0) return undefined;
  return order
    .filter((flag) => flags.has(flag))
    .map((flag) => responseFlagNames[flag])
    .join(',');
}

export function isResponseFlag(text: string): text is ResponseFlag {
  return Object.hasOwn(responseFlagNames, text);
}
