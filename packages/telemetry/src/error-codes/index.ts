import { proxyErrors } from './proxy.ts';
import { waypointErrors } from './waypoint.ts';
import { generalErrors } from './general.ts';
import { linuxErrors } from './linux.ts';
import { hboneErrors } from './hbone.ts';
import { ztunnelErrors } from './ztunnel.ts';
import { policyErrors } from './policy.ts';
import { xdsErrors } from './xds.ts';
import { certificateErrors } from './certificate.ts';
import { cniErrors } from './cni.ts';
import { controlPlaneErrors } from './control-plane.ts';
import { cliErrors } from './cli.ts';
import { localClusterErrors } from './local-cluster.ts';

/** Every error code that a user can meet; docs/errors.md is generated from it. */
export const errorCodes = {
  ...proxyErrors,
  ...waypointErrors,
  ...generalErrors,
  ...linuxErrors,
  ...hboneErrors,
  ...ztunnelErrors,
  ...policyErrors,
  ...xdsErrors,
  ...certificateErrors,
  ...cniErrors,
  ...controlPlaneErrors,
  ...cliErrors,
  ...localClusterErrors,
} as const;

export type ErrorCode = keyof typeof errorCodes;
