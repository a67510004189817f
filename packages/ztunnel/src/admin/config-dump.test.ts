import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import {
  CertificateAuthority,
  createKeyPair,
  privateKeyPem,
  toSpiffeId,
  workloadCertificate,
} from '@weft/spiffe';
import { configDump } from './config-dump.ts';
import { jsonStream } from './json-stream.ts';
import { listConnections } from './connection-list.ts';
import { loadConfig } from '../config.ts';
import { ConnectionTable } from '../control/connection-table.ts';
import { createMetricsRegistry, silentLogger } from '@weft/telemetry';
import { MeshState } from '../state/mesh-state.ts';
import { AccessLog } from '../telemetry/access-log.ts';
import { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { at, ip, policy, service, workload } from '../testing/records.ts';

const state = new MeshState();
const server = workload('server', '10.0.0.2');
state.applyAddresses([
  { kind: 'service', service: service('web', '10.1.0.1') },
  { kind: 'workload', workload: server },
]);
state.applyPolicies([{ kind: 'policy', policy: policy('default/deny') }]);
const registry = createMetricsRegistry();
const metrics = new ZtunnelMetrics(registry, { istioVersion: 'test', pods: () => undefined });
const connections = new ConnectionTable(metrics, new AccessLog(silentLogger));
connections.opened({
  id: 1,
  podUid: 'uid-1',
  local: server,
  direction: 'inbound',
  protocol: 'HBONE',
  source: at('10.0.0.1', 4000),
  destination: at('10.0.0.2', 15_008),
  originalDestination: undefined,
  hboneTarget: '10.0.0.2:8080',
  forwardedHost: 'web.default.svc.cluster.local',
  subject: {
    sourceIdentity: 'spiffe://cluster.local/ns/default/sa/client',
    sourceIp: ip('10.0.0.1'),
    destinationIp: ip('10.0.0.2'),
    destinationPort: 8080,
  },
  traffic: {
    reporter: 'destination',
    source: undefined,
    sourceIdentity: 'spiffe://cluster.local/ns/default/sa/client',
    destination: server,
    destinationIdentity: 'spiffe://cluster.local/ns/default/sa/server',
    service: undefined,
    isMutualTls: true,
  },
});
const identity = toSpiffeId('spiffe://cluster.local/ns/default/sa/server');
const { publicKey, privateKey } = await createKeyPair();
const root = await CertificateAuthority.createSelfSigned({
  subject: { commonName: 'root' },
  keyPem: privateKeyPem(privateKey),
});
const { leafPem } = root.sign({ publicKey, uriSans: [identity], ttlMs: 3_600_000 });
const certificate = workloadCertificate(identity, privateKey, [leafPem, root.rootsPem + root.rootsPem]);

// What a client of the page gets: absent values are not there.
const dump = JSON.parse(
  await text(
    jsonStream(
      configDump({
        state,
        config: loadConfig({
          LOCAL_XDS: 'workloads: [{name: local, namespace: default, workloadIps: [10.9.0.1]}]',
        }),
        version: '0.1.0',
        istioVersion: '1.32',
        certificates: [
          { identity, state: 'available', certificate },
          { identity, state: 'initializing' },
          { identity, state: 'unavailable', lastError: 'refused' },
        ],
        pods: [
          {
            pod: { uid: 'uid-1', name: 'server', namespace: 'default', serviceAccount: 'server' },
            state: 'Up',
          },
          {
            pod: { uid: 'uid-2', name: 'other', namespace: 'default', serviceAccount: 'other' },
            state: 'Pending',
          },
        ],
        connections: connections.all(),
      }),
    ),
  ),
) as Record<string, Record<string, unknown>[]>;

describe('/config_dump', () => {
  it('has the sections of the reference, in their order', () => {
    expect(Object.keys(dump)).toEqual([
      'workloads',
      'services',
      'policies',
      'stagedServices',
      'staticConfig',
      'version',
      'config',
      'certificates',
      'workloadState',
    ]);
    expect(Object.keys(dump['version'] ?? {})).toEqual([
      'version',
      'gitRevision',
      'rustVersion',
      'buildProfile',
      'buildStatus',
      'istioVersion',
      'cryptoProvider',
    ]);
  });

  it('tells what is known without a control plane apart', () => {
    expect(dump['staticConfig']).toEqual({
      workloads: [expect.objectContaining({ name: 'local', workloadIps: ['10.9.0.1'] })],
      policies: [],
      services: [],
    });
    expect(dump['workloads']).not.toContainEqual(expect.objectContaining({ name: 'local' }));
  });

  it('describes workloads, services and policies as istioctl reads them', () => {
    expect(dump['workloads']?.[0]).toMatchObject({
      workloadIps: ['10.0.0.2'],
      protocol: expect.stringMatching(/^(TCP|HBONE)$/),
      networkMode: 'Standard',
      name: 'server',
      namespace: 'default',
      serviceAccount: expect.any(String),
      workloadType: expect.any(String),
      status: 'Healthy',
      clusterId: 'Kubernetes',
      authorizationPolicies: [],
      capacity: 1,
    });
    expect(dump['services']?.[0]).toMatchObject({
      name: 'web',
      namespace: 'default',
      hostname: 'web.default.svc.cluster.local',
      vips: ['/10.1.0.1'],
      endpoints: {},
      ports: expect.any(Object),
    });
    expect(dump['policies']?.[0]).toMatchObject({
      name: 'deny',
      namespace: 'default',
      action: 'Deny',
      rules: expect.any(Array),
    });
  });

  it('lists certificates by state, each root of a bundle on its own', () => {
    const [available, initializing, unavailable] = dump['certificates'] ?? [];
    const pem = {
      pem: Buffer.from(leafPem).toString('base64'),
      serialNumber: BigInt(`0x${certificate.leaf.serialNumber}`).toString(),
      validFrom: new Date(certificate.leaf.validFrom).toISOString(),
      expirationTime: new Date(certificate.leaf.validTo).toISOString(),
    };
    expect(available).toEqual({
      identity,
      state: 'Available',
      certChain: [pem],
      rootCerts: [expect.any(Object), expect.any(Object)],
    });
    const none = { identity, certChain: [], rootCerts: [] };
    expect(initializing).toEqual({ ...none, state: 'Initializing' });
    expect(unavailable).toEqual({ ...none, state: 'Unavailable: refused' });
  });

  it('lists pods with their connections', () => {
    const info = { namespace: 'default' };
    expect(dump['workloadState']).toEqual({
      'uid-1': {
        state: 'Up',
        info: { ...info, name: 'server', serviceAccount: 'server' },
        connections: {
          inbound: [
            {
              src: '10.0.0.1:4000',
              originalDst: 'web.default.svc.cluster.local',
              actualDst: '10.0.0.2:8080',
              protocol: 'HBONE',
            },
          ],
          outbound: [],
        },
      },
      'uid-2': {
        state: 'Pending',
        info: { ...info, name: 'other', serviceAccount: 'other' },
        connections: { inbound: [], outbound: [] },
      },
    });
  });
});

it('lists at /connections who is on and since when', () => {
  connections.moved(1, 5, 7);
  expect(listConnections(connections.all())).toEqual([
    {
      pod: 'uid-1',
      direction: 'inbound',
      src: '10.0.0.1:4000',
      dst: '10.0.0.2:8080',
      identity: 'spiffe://cluster.local/ns/default/sa/client',
      protocol: 'HBONE',
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      received: 5,
      sent: 7,
    },
  ]);
});

it('names every metric of the reference with its type', async () => {
  const text = await registry.metrics();
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  );
  expect(Object.fromEntries(types)).toMatchObject({
    istio_tcp_connections_opened: 'counter',
    istio_tcp_connections_closed: 'counter',
    istio_tcp_connections_failed: 'counter',
    istio_tcp_received_bytes: 'counter',
    istio_tcp_sent_bytes: 'counter',
    istio_tcp_sockets_open: 'gauge',
    istio_crl_policy_rejections: 'counter',
    istio_crl_untracked_connections: 'counter',
    istio_build: 'gauge',
    istio_xds_connection_terminations: 'counter',
    istio_xds_message: 'counter',
    istio_xds_message_bytes: 'counter',
    workload_manager_active_proxy_count: 'gauge',
    workload_manager_pending_proxy_count: 'gauge',
    workload_manager_proxies_started: 'counter',
    workload_manager_proxies_stopped: 'counter',
    process_open_fds: 'gauge',
    process_max_fds: 'gauge',
  });
});
