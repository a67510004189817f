import type { ErrorCodeTable } from '../errors.ts';

/** WEFT22xx. */
export const waypointErrors = {
  WEFT2201: {
    layer: 'waypoint',
    title: 'The command line of the proxy is not understood',
    next: 'Use `proxy waypoint` with the flags of the deployment’s template.',
  },
  WEFT2202: {
    layer: 'waypoint',
    title: 'PROXY_CONFIG cannot be read',
    next: 'Check the deployment’s template: the variable holds the proxy’s configuration as a JSON object.',
  },
  WEFT2203: {
    layer: 'waypoint',
    title: 'The waypoint has no certificate',
    next: 'Check that the control plane is reachable at the address in the message and that the token volume is mounted; it is asked again with back-off.',
  },
} as const satisfies ErrorCodeTable;
