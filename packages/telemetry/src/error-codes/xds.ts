import type { ErrorCodeTable } from '../errors.ts';

/** WEFT15xx. */
export const xdsErrors = {
  WEFT1501: {
    layer: 'xds',
    title: 'The control plane cannot be reached, or ended the stream',
    next: 'Check that the control plane is running and the address in the message is right; the last configuration stays in force.',
  },
  WEFT1502: {
    layer: 'xds',
    title: 'A resource from the control plane cannot be used and was rejected',
    next: 'Read the reason; check that the versions of control plane and proxy fit together. The last good version stays in force.',
  },
  WEFT1503: {
    layer: 'xds',
    title: 'A discovery message is malformed',
    next: 'Check that the peer on the xDS port speaks delta ADS of Envoy v3.',
  },
  WEFT1504: {
    layer: 'xds',
    title: 'An xDS client did not prove who it is',
    next: 'Check the token of the client: its audience must be istio-ca, and its pod must exist.',
  },
  WEFT1505: {
    layer: 'xds',
    title: 'An xDS client sent a request that the protocol does not allow',
    next: 'Check the client: its first request must carry a node that fits its identity.',
  },
  WEFT1506: {
    layer: 'xds',
    title: 'A proxy rejected configuration',
    next: 'Read the proxy’s reason in the message; the proxy keeps its last good version.',
  },
  WEFT1507: {
    layer: 'xds',
    title: 'More xDS clients than this control plane accepts',
    next: 'Run more replicas of the control plane.',
  },
  WEFT1508: {
    layer: 'xds',
    title: 'New xDS clients come faster than this control plane takes them in',
    next: 'Nothing if a replica was just replaced: proxies come back by themselves. Otherwise run more replicas, or raise PILOT_MAX_REQUESTS_PER_SECOND.',
  },
  WEFT1509: {
    layer: 'xds',
    title: 'The control plane failed to make an answer or a push',
    next: 'Report it with the log line; the proxy keeps what it has and reconnects.',
  },
} as const satisfies ErrorCodeTable;
