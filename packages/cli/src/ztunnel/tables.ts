import { X509Certificate } from 'node:crypto';
import { table } from '../output.ts';
import type { ConfigDump, DumpedConnection, DumpedWorkload, DumpedX509 } from './config-dump.ts';

const byName = (a: { namespace: string; name: string }, b: { namespace: string; name: string }): number =>
  a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name);

/** `ns/host` or `network/ip`, however the ztunnel at hand spells it. */
function waypointName(waypoint: { readonly destination?: unknown } | undefined): string {
  const destination = waypoint?.destination;
  if (destination === undefined || destination === null) return 'None';
  const text = typeof destination === 'string' ? destination : JSON.stringify(destination);
  const host = text.split('/').at(-1) ?? text;
  return host.split('.')[0] ?? host;
}

export function workloadTable(workloads: readonly DumpedWorkload[]): string {
  return table(
    ['NAMESPACE', 'POD NAME', 'ADDRESS', 'NODE', 'WAYPOINT', 'PROTOCOL'],
    [...workloads]
      .sort(byName)
      .map((w) => [
        w.namespace,
        w.name,
        w.workloadIps?.join(',') ?? '',
        w.node ?? '',
        waypointName(w.waypoint),
        w.protocol,
      ]),
  );
}

export function serviceTable(services: ConfigDump['services']): string {
  return table(
    ['NAMESPACE', 'SERVICE NAME', 'SERVICE VIP', 'WAYPOINT', 'ENDPOINTS'],
    [...services].sort(byName).map((s) => {
      const endpoints = Object.values(s.endpoints ?? {});
      const healthy = endpoints.filter((e) => e.status === undefined || e.status === 'Healthy').length;
      const vips = (s.vips ?? []).map((vip) => vip.split('/').at(-1) ?? vip).join(',');
      return [s.namespace, s.name, vips, waypointName(s.waypoint), `${healthy}/${endpoints.length}`];
    }),
  );
}

export function policyTable(policies: ConfigDump['policies']): string {
  return table(
    ['NAMESPACE', 'POLICY NAME', 'ACTION', 'SCOPE'],
    [...policies].sort(byName).map((p) => [p.namespace, p.name, p.action, p.scope]),
  );
}

export function certificateTable(certificates: ConfigDump['certificates'], now: Date): string {
  const row = (identity: string, type: string, state: string, c: DumpedX509): readonly string[] => {
    const valid = new Date(c.validFrom) <= now && now < new Date(c.expirationTime);
    return [identity, type, state, String(valid), serialNumber(c), c.expirationTime, c.validFrom];
  };
  return table(
    ['CERTIFICATE NAME', 'TYPE', 'STATUS', 'VALID CERT', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE'],
    [...certificates]
      .sort((a, b) => a.identity.localeCompare(b.identity))
      .flatMap((certificate) => {
        const { identity, state, certChain = [], rootCerts = [] } = certificate;
        if (certChain.length === 0) return [[identity, 'Leaf', state, 'false', '', '', '']];
        return [
          ...certChain.map((c, i) => row(identity, i === 0 ? 'Leaf' : 'Intermediate', state, c)),
          ...rootCerts.map((c) => row(identity, 'Root', state, c)),
        ];
      }),
  );
}

/** Hexadecimal, as openssl prints it. */
function serialNumber(certificate: DumpedX509): string {
  try {
    return new X509Certificate(Buffer.from(certificate.pem, 'base64')).serialNumber.toLowerCase();
  } catch {
    return certificate.serialNumber;
  }
}

export interface ConnectionFilter {
  readonly workloadNamespace?: string;
  readonly direction?: 'inbound' | 'outbound';
  /** Addresses as they are, without names. */
  readonly raw: boolean;
}

export function connectionTable(dump: ConfigDump, filter: ConnectionFilter): string {
  const names = new Map(
    dump.workloads.flatMap((w) =>
      (w.workloadIps ?? []).map((ip) => [ip, `${w.name}.${w.namespace}`] as const),
    ),
  );
  const resolve = (address: string | null | undefined): string => {
    if (address === undefined || address === null || address === '') return 'None';
    if (filter.raw) return address;
    const port = address.slice(address.lastIndexOf(':') + 1);
    const name = names.get(address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
    return name === undefined ? address : `${name}:${port}`;
  };
  const rows: string[][] = [];
  for (const { info, connections } of Object.values(dump.workloadState)) {
    if (info === undefined || connections === undefined) continue;
    if (filter.workloadNamespace !== undefined && info.namespace !== filter.workloadNamespace) continue;
    const workload = `${info.name}.${info.namespace}`;
    const add = (direction: 'Inbound' | 'Outbound', list: readonly DumpedConnection[]): void => {
      if (filter.direction !== undefined && filter.direction !== direction.toLowerCase()) return;
      for (const c of list) {
        const [local, remote, target] =
          direction === 'Inbound'
            ? [resolve(c.actualDst), resolve(c.src), resolve(c.originalDst)]
            : [resolve(c.src), resolve(c.actualDst), resolve(c.originalDst)];
        rows.push([workload, direction, local, remote, target, c.protocol]);
      }
    };
    add('Inbound', connections.inbound);
    add('Outbound', connections.outbound);
  }
  rows.sort((a, b) => a.join().localeCompare(b.join()));
  return table(['WORKLOAD', 'DIRECTION', 'LOCAL', 'REMOTE', 'REMOTE TARGET', 'PROTOCOL'], rows);
}
