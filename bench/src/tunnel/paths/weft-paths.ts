import type { ChildProcess } from 'node:child_process';
import { istio } from '@weft/api/workload';
import { eventually, type MeshSandbox } from '@weft/ztunnel/testing';
import type { Testbed } from '../testbed.ts';
import { type BenchPath, START_TIMEOUT_MS, TRUSTED_PREFIX } from './bench-path.ts';

/** As the chart sets it. */
export const CHART_ENVIRONMENT = { NODE_OPTIONS: '--max-semi-space-size=8', MALLOC_ARENA_MAX: '2' };
export const RULES = 1_000;

export interface WeftPathOptions {
  readonly name: string;
  /** 10.0.N.0/24 is the path's own. */
  readonly subnet: number;
  readonly engine: 'fast' | 'portable';
  readonly topology: 'two-nodes' | 'one-node';
  /** More of what the control plane says of the server. */
  readonly server?: istio.workload.Workload.$Properties;
}

/** Captured pods, and a ztunnel on each of their nodes that has the engine named. */
export async function weftPath(testbed: Testbed, o: WeftPathOptions): Promise<BenchPath> {
  const { mesh, threads } = testbed;
  const { name, subnet } = o;
  const near = `${name}-near`;
  const far = o.topology === 'one-node' ? near : `${name}-far`;
  const nodes = [...new Set([near, far])];
  const serverIp = `10.0.${subnet}.12`;
  for (const [i, node] of nodes.entries()) mesh.addNode(node, `10.0.${subnet}.${i + 1}`);
  mesh.addPod(`${name}-client`, near, `10.0.${subnet}.11`);
  mesh.addPod(`${name}-server`, far, serverIp);
  mesh.addPod(`${name}-neighbour`, near, `10.0.${subnet}.13`);
  const start = async (): Promise<void> => {
    for (const node of nodes) {
      mesh.startZtunnel(node, {
        ...CHART_ENVIRONMENT,
        ZTUNNEL_ENGINE: o.engine,
        ZTUNNEL_WORKER_THREADS: String(threads),
      });
      const isReady = async (): Promise<boolean> => (await mesh.readiness(node)).status === 200;
      await eventually(`${node} to be ready`, isReady, START_TIMEOUT_MS);
      readAndForget(mesh.ztunnel(node));
    }
  };
  await start();
  await mesh.capture(`${name}-client`);
  await mesh.capture(`${name}-server`, o.server);
  await mesh.capture(`${name}-neighbour`);
  return {
    name,
    client: testbed.namespaceOf(`${name}-client`),
    neighbour: testbed.namespaceOf(`${name}-neighbour`),
    server: testbed.namespaceOf(`${name}-server`),
    ip: serverIp,
    carriesBytes: true,
    processes: () => nodes.map((node) => mesh.ztunnel(node)),
    restart: async () => {
      for (const node of nodes) await mesh.stopZtunnel(node, 'SIGTERM');
      await start();
    },
  };
}

/** Access logs of millions of connections would fill the sandbox, which keeps what proxies print. */
function readAndForget({ stdout }: ChildProcess): void {
  stdout?.removeAllListeners('data').resume();
}

/** Policies are on for all: whoever is of the namespace may. */
export function setPolicies({ controlPlane }: MeshSandbox): void {
  const { Action, Scope } = istio.security;
  const principals = [{ prefix: TRUSTED_PREFIX }];
  controlPlane.setPolicy({
    name: 'bench',
    namespace: 'default',
    scope: Scope.NAMESPACE,
    action: Action.ALLOW,
    rules: [{ clauses: [{ matches: [{ principals }] }] }],
  });
  controlPlane.setPolicy({
    name: 'many-rules',
    namespace: 'default',
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.DENY,
    rules: Array.from({ length: RULES }, (_, i) => ({
      clauses: [{ matches: [{ principals: [{ exact: `${TRUSTED_PREFIX}sa/nobody-${i}` }] }] }],
    })),
  });
}

/** Selects a workload for the policy whose thousand rules all have to be looked at. */
export const behindManyRules: istio.workload.Workload.$Properties = {
  authorizationPolicies: ['default/many-rules'],
};
