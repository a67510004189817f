import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import { createMetricsRegistry, silentLogger } from '@weft/telemetry';
import { Demand, DeltaServer, MemorySource, versionedResource, type VersionedResource } from '@weft/xds';
import { startMeshClient } from './mesh-client.ts';
import { loadConfig } from '../config.ts';
import { MeshState } from '../state/mesh-state.ts';
import { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { ip } from '../testing/records.ts';

const { Address } = istio.workload;

/** A control plane on loopback, and the headers that it saw. */
class ControlPlane {
  readonly addresses = new MemorySource(TypeUrl.address);
  readonly policies = new MemorySource(TypeUrl.authorization);
  readonly seen: grpc.Metadata[] = [];
  readonly discovery: DeltaServer<string>;
  private readonly server = new grpc.Server();
  port = 0;

  constructor() {
    // What an on-demand client asks for by address comes with all that belongs to it.
    Object.assign(this.addresses, {
      resolve: (name: string) =>
        [...this.addresses.list()].filter((r) => r.name === name || r.aliases?.includes(name)),
    });
    this.discovery = new DeltaServer({
      types: [{ source: this.policies }, { source: this.addresses }],
      authenticate: ({ metadata }) => {
        this.seen.push(metadata);
        return Promise.resolve('ztunnel');
      },
      debounceMs: 1,
    });
    this.discovery.addTo(this.server);
  }

  async listen(port = 0): Promise<void> {
    this.port = await new Promise((resolve, reject) => {
      this.server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
  }

  /** Ends every stream; the next connection is a new one. */
  async restart(): Promise<ControlPlane> {
    this.stop();
    const next = new ControlPlane();
    next.addresses.update({ upserted: [...this.addresses.list()] });
    await next.listen(this.port);
    return next;
  }

  stop(): void {
    this.discovery.close();
    this.server.forceShutdown();
  }
}

function workload(
  name: string,
  address: string,
  more: istio.workload.Workload.$Properties = {},
): VersionedResource {
  const uid = `Kubernetes//Pod/default/${name}`;
  const addresses = [Uint8Array.from(address.split('.').map(Number))];
  const message = { uid, name, namespace: 'default', addresses, ...more };
  return versionedResource(uid, Address.encode({ workload: message }).finish(), [`/${address}`]);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let controlPlane: ControlPlane;
let folder: string;
const stops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weft-xds-'));
  controlPlane = new ControlPlane();
  await controlPlane.listen();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  controlPlane.stop();
  rmSync(folder, { recursive: true });
});

function start(env: Readonly<Record<string, string>> = {}, demand?: Demand) {
  const end = new AbortController();
  const state = new MeshState();
  const registry = createMetricsRegistry();
  const client = startMeshClient({
    config: loadConfig({ XDS_ADDRESS: `http://127.0.0.1:${controlPlane.port}`, ...env }),
    address: `http://127.0.0.1:${controlPlane.port}`,
    state,
    demand,
    metrics: new ZtunnelMetrics(registry, { istioVersion: 'test', pods: () => undefined }),
    logger: silentLogger,
    signal: end.signal,
    onReady: () => undefined,
    onConnection: () => undefined,
  });
  stops.push(async () => {
    end.abort();
    await client.done;
  });
  return { client, state, metrics: () => registry.metrics() };
}

describe('the client of the control plane', () => {
  it('applies the good resources of a push that it rejects, and is not ready by it', async () => {
    controlPlane.addresses.update({
      upserted: [workload('good', '10.0.0.1'), workload('bad', '10.0.0.2', { tunnelProtocol: 2 })],
    });
    const { client, state } = start();
    await until(() => state.workloads.workloadAt('', ip('10.0.0.1')) !== undefined);
    const rejection = (): string | undefined =>
      controlPlane.discovery.connections()[0]?.types.find((t) => t.typeUrl === TypeUrl.address)?.error;
    await until(() => rejection() !== undefined);
    expect(rejection()).toMatch(/Pod\/default\/bad: .*tunnel_protocol 2 is not supported/);
    expect(client.ready).toBe(false);
    controlPlane.addresses.update({ upserted: [workload('bad', '10.0.0.2')] });
    await until(() => client.ready);
    expect(state.workloads.sizes.workloads).toBe(2);
  });

  it('counts conditions of policies that it leaves out, and keeps the rest', async () => {
    const rules = [{ clauses: [{ matches: [{ namespaces: [{}, { exact: 'a' }] }] }] }];
    const bytes = istio.security.Authorization.encode({ name: 'p', namespace: 'n', rules }).finish();
    controlPlane.policies.update({ upserted: [versionedResource('n/p', bytes)] });
    const { client, state, metrics } = start();
    await until(() => client.ready);
    const [policy] = state.policies.all();
    expect(policy?.rules[0]?.clauses[0]?.matches[0]?.namespaces).toEqual([{ kind: 'exact', value: 'a' }]);
    expect(await metrics()).toContain('weft_errors_total{code="WEFT1407"} 1\n');
  });

  it('sends the headers that are configured, and reads its token again for each connection', async () => {
    const token = join(folder, 'token');
    writeFileSync(token, 'first\n');
    const { client, metrics } = start({ AUTH_TOKEN: token, XDS_HEADER_Tenant: 'blue', CLUSTER_ID: 'east' });
    await until(() => client.ready);
    const headers = (): unknown[] =>
      ['authorization', 'tenant', 'clusterid'].map((name) => controlPlane.seen.at(-1)?.get(name)[0]);
    expect(headers()).toEqual(['Bearer first', 'blue', 'east']);
    writeFileSync(token, 'second');
    controlPlane = await controlPlane.restart();
    await until(() => controlPlane.seen.length > 0);
    expect(headers()).toEqual(['Bearer second', 'blue', 'east']);
    expect(await metrics()).toMatch(
      /istio_xds_connection_terminations_total\{reason="(Reconnect|Complete)"\} 1\n/,
    );
  });

  it('takes a push of 20 MB in one message', async () => {
    const hostname = 'x'.repeat(512 * 1024);
    const large = Array.from({ length: 40 }, (_, i) => workload(`w${i}`, `10.0.0.${i}`, { hostname }));
    controlPlane.addresses.update({ upserted: large });
    const { client, state, metrics } = start();
    await until(() => client.ready);
    expect(state.workloads.sizes.workloads).toBe(40);
    const address = 'url="type.googleapis.com/istio.workload.Address"';
    expect(await metrics()).toContain(`istio_xds_message_total{${address}} 1\n`);
  });

  it('counts messages and their bytes by type', async () => {
    controlPlane.addresses.update({ upserted: [workload('a', '10.0.0.1')] });
    const { client, metrics } = start();
    await until(() => client.ready);
    expect(await metrics()).toMatch(
      /istio_xds_message_total\{url="type\.googleapis\.com\/istio\.workload\.Address"\} 1\n/,
    );
    expect(await metrics()).toMatch(
      /istio_xds_message_bytes_total\{url="type\.googleapis\.com\/istio\.workload\.Address"\} [1-9]\d+\n/,
    );
  });

  it('learns nothing but what is asked for when it works on demand', async () => {
    controlPlane.addresses.update({ upserted: [workload('a', '10.0.0.1'), workload('b', '10.0.0.2')] });
    const demand = new Demand();
    const { client, state } = start({ XDS_ON_DEMAND: 'true', ISTIO_META_DNS_CAPTURE: 'false' }, demand);
    await until(() => client.ready);
    expect(state.workloads.sizes.workloads).toBe(0);
    await demand.ask('/10.0.0.2');
    expect(state.workloads.workloadAt('', ip('10.0.0.2'))?.name).toBe('b');
    await demand.ask('/192.0.2.1');
    expect(state.workloads.sizes.workloads).toBe(1);
  });
});
