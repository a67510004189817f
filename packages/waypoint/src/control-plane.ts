import { readFileSync } from 'node:fs';
import type { AdsAccess } from '@weft/proxy';
import { serverTrust } from '@weft/spiffe';
import type { Config } from './config.ts';
import { xdsNode } from './node.ts';

/** How the control plane is reached; roots and token are read again for each connection. */
export function controlPlaneAccess(config: Config): AdsAccess {
  return {
    address: config.discoveryAddress,
    credentials: () => serverTrust({ rootsPem: readFileSync(config.rootCertPath, 'utf8') }),
    headers: () => [
      ['clusterid', config.clusterId],
      // A header value can't end in a line break, as files do.
      ['authorization', `Bearer ${readFileSync(config.tokenPath, 'utf8').trimEnd()}`],
    ],
    node: xdsNode(config),
  };
}
