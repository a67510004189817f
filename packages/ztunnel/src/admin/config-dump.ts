import { X509Certificate } from 'node:crypto';
import type { CertificateState } from '@weft/spiffe';
import { LazyList } from './json-stream.ts';
import type { Config } from '../config.ts';
import type { OpenConnection } from '../control/connection-table.ts';
import type { Pod } from '../inpod/pod-manager.ts';
import { Cidr, formatSocketAddress } from '../state/ip-address.ts';
import { applyLocalState } from '../state/local-state.ts';
import { MeshState } from '../state/mesh-state.ts';
import type { Policy } from '../state/policy.ts';
import {
  networkAddressKey,
  type GatewayAddress,
  type PortMap,
  type Service,
  type Workload,
} from '../state/workload.ts';

export interface DumpSource {
  readonly state: MeshState;
  readonly config: Config;
  readonly version: string;
  readonly istioVersion: string;
  readonly certificates: readonly CertificateState[];
  readonly pods: Iterable<{ readonly pod: Pod; readonly state: 'Up' | 'Pending' }>;
  readonly connections: Iterable<OpenConnection>;
}

/** `/config_dump` in the shape that `istioctl ztunnel-config` reads; the records are those of this moment. */
export function configDump(source: DumpSource): Readonly<Record<string, unknown>> {
  const { state, config } = source;
  const { workloads } = state;
  return {
    workloads: lazily(workloads.allWorkloads(), dumpWorkload),
    services: lazily(workloads.allServices(), (s) => dumpService(s, workloads.endpoints(s.key))),
    policies: lazily(state.policies.all(), dumpPolicy),
    stagedServices: Object.fromEntries(
      [...workloads.stagedServices()].map(([key, endpoints]) => [key, dumpEndpoints(key, endpoints)]),
    ),
    staticConfig: dumpLocalState(config),
    version: {
      version: source.version,
      gitRevision: 'unknown',
      rustVersion: `node ${process.version}`,
      buildProfile: 'release',
      buildStatus: 'unknown',
      istioVersion: source.istioVersion,
      cryptoProvider: `openssl ${process.versions.openssl}`,
    },
    config: dumpConfig(config),
    certificates: source.certificates.map(dumpCertificate),
    workloadState: dumpPods(source.pods, source.connections),
  };
}

function lazily<T>(records: Iterable<T>, dump: (record: T) => unknown): LazyList {
  // The store changes while it is written; its records don't.
  const present = [...records];
  return new LazyList(
    (function* () {
      for (const record of present) yield dump(record);
    })(),
  );
}

/** What LOCAL_XDS holds, which the control plane may have replaced since. */
function dumpLocalState({ localState }: Config): unknown {
  const state = new MeshState();
  if (localState !== undefined) applyLocalState(state, localState.source, localState.text);
  const { workloads, policies } = state;
  return {
    workloads: [...workloads.allWorkloads()].map(dumpWorkload),
    policies: [...policies.all()].map(dumpPolicy),
    services: [...workloads.allServices()].map((s) => dumpService(s, workloads.endpoints(s.key))),
  };
}

function dumpWorkload(w: Workload): unknown {
  return {
    workloadIps: w.addresses,
    waypoint: w.waypoint && dumpGateway(w.waypoint),
    networkGateway: w.networkGateway && dumpGateway(w.networkGateway),
    protocol: w.protocol,
    networkMode: w.networkMode,
    uid: w.uid,
    name: w.name,
    namespace: w.namespace,
    trustDomain: w.trustDomain,
    serviceAccount: w.serviceAccount,
    network: w.network,
    workloadName: w.workloadName,
    workloadType: w.workloadType,
    canonicalName: w.canonicalName,
    canonicalRevision: w.canonicalRevision,
    hostname: w.hostname,
    node: w.node,
    nativeTunnel: w.nativeTunnel,
    applicationTunnel: w.applicationTunnel,
    authorizationPolicies: w.authorizationPolicies,
    status: w.isHealthy ? 'Healthy' : 'Unhealthy',
    clusterId: w.clusterId,
    locality: w.locality,
    services: [...w.services.keys()],
    capacity: w.capacity,
  };
}

function dumpService(s: Service, endpoints: Iterable<Workload>): unknown {
  return {
    name: s.name,
    namespace: s.namespace,
    hostname: s.hostname,
    vips: s.vips.map(({ network, ip }) => networkAddressKey(network, ip)),
    cidrVips: s.cidrVips.map(({ network, cidr }) => ({ network, cidr: cidr.toString() })),
    ports: dumpPorts(s.ports),
    endpoints: dumpEndpoints(s.key, endpoints),
    subjectAltNames: s.subjectAltNames,
    waypoint: s.waypoint && dumpGateway(s.waypoint),
    weightedWaypoints: s.weightedWaypoints.map(({ destination, weight }) => ({
      ...dumpGateway(destination),
      weight,
    })),
    loadBalancer: s.loadBalancer,
    ipFamilies: s.ipFamilies,
    canonical: s.canonical,
    visibility: s.visibility,
  };
}

function dumpEndpoints(key: Service['key'], endpoints: Iterable<Workload>): unknown {
  return Object.fromEntries(
    [...endpoints].map((w) => [
      w.uid,
      {
        workloadUid: w.uid,
        port: dumpPorts(w.services.get(key)),
        status: w.isHealthy ? 'Healthy' : 'Unhealthy',
      },
    ]),
  );
}

function dumpPorts(ports: PortMap | undefined): Record<string, number> {
  return Object.fromEntries(ports ?? []);
}

function dumpGateway({ destination, hboneMtlsPort }: GatewayAddress): {
  destination: string;
  hboneMtlsPort: number;
} {
  const { kind } = destination;
  const text =
    kind === 'hostname'
      ? destination.key
      : networkAddressKey(destination.address.network, destination.address.ip);
  return { destination: text, hboneMtlsPort };
}

function dumpPolicy({ name, namespace, scope, action, dryRun, rules }: Policy): unknown {
  return {
    name,
    namespace,
    scope,
    action,
    dryRun,
    rules: rules.map(({ clauses }) =>
      clauses.map(({ matches }) =>
        matches.map((match) =>
          Object.fromEntries(
            Object.entries(match)
              .filter(([, values]: readonly [string, readonly unknown[]]) => values.length > 0)
              .map(([field, values]: readonly [string, readonly unknown[]]) => [
                field,
                values.map(dumpMatcher),
              ]),
          ),
        ),
      ),
    ),
  };
}

/** `{ exact: "a" }` and `10.0.0.0/8`, whatever the record looks like. */
function dumpMatcher(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('kind' in value && typeof value.kind === 'string') {
    return { [capitalised(value.kind)]: 'value' in value ? value.value : {} };
  }
  return value instanceof Cidr ? value.toString() : value;
}

function capitalised(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

function dumpConfig(config: Config): unknown {
  const { xds, ca, localState, ...rest } = config;
  const address = (c: typeof xds): unknown => ({
    address: c.address,
    alternativeHostname: c.alternativeHostname,
    root: c.root.kind,
  });
  return {
    ...rest,
    localState: localState?.source,
    nodeMetadata: Object.fromEntries(config.nodeMetadata),
    xds: address(xds),
    ca: address(ca),
  };
}

function dumpCertificate(state: CertificateState): unknown {
  const { identity } = state;
  switch (state.state) {
    case 'initializing':
      return { identity, state: 'Initializing', certChain: [], rootCerts: [] };
    case 'unavailable':
      return { identity, state: `Unavailable: ${state.lastError}`, certChain: [], rootCerts: [] };
    case 'available': {
      const { chainPem, rootsPem } = state.certificate;
      return { identity, state: 'Available', certChain: dumpPems(chainPem), rootCerts: dumpPems(rootsPem) };
    }
  }
}

function dumpPems(pems: string): unknown[] {
  const blocks = pems.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g) ?? [];
  return blocks.map((pem) => {
    const certificate = new X509Certificate(pem);
    return {
      pem: Buffer.from(pem).toString('base64'),
      serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
      validFrom: new Date(certificate.validFrom).toISOString(),
      expirationTime: new Date(certificate.validTo).toISOString(),
    };
  });
}

function dumpPods(pods: DumpSource['pods'], connections: DumpSource['connections']): unknown {
  const byPod = new Map<string, OpenConnection[]>();
  for (const connection of connections) {
    const own = byPod.get(connection.podUid);
    if (own === undefined) byPod.set(connection.podUid, [connection]);
    else own.push(connection);
  }
  return Object.fromEntries(
    [...pods].map(({ pod, state }) => {
      const { name, namespace, serviceAccount } = pod;
      const own = byPod.get(pod.uid) ?? [];
      const side = (direction: OpenConnection['direction']): unknown[] =>
        own.filter((c) => c.direction === direction).map(dumpConnection);
      return [
        pod.uid,
        {
          state,
          connections: { inbound: side('inbound'), outbound: side('outbound') },
          info: { name, namespace, serviceAccount },
        },
      ];
    }),
  );
}

function dumpConnection(c: OpenConnection): unknown {
  const original =
    c.direction === 'inbound'
      ? c.forwardedHost
      : c.originalDestination && formatSocketAddress(c.originalDestination);
  const actual =
    c.subject && formatSocketAddress({ ip: c.subject.destinationIp, port: c.subject.destinationPort });
  return {
    src: formatSocketAddress(c.source),
    originalDst: original ?? null,
    actualDst: actual ?? formatSocketAddress(c.destination),
    protocol: c.protocol,
  };
}
