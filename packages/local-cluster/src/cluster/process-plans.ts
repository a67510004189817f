import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KubeletConfig } from '../kubelet/config.ts';
import { pkiFiles } from './pki.ts';
import { writeJson, type ClusterRecord, type StateDirectory } from './state-directory.ts';
import type { ProcessPlan } from './supervised-process.ts';
import type { NodePlan } from './topology.ts';

/** What the supervisor runs, by place. */
export interface ProcessPlans {
  readonly apiServer: ProcessPlan;
  readonly controllers: ProcessPlan;
  readonly onNode: (node: NodePlan) => readonly ProcessPlan[];
}

/** The descriptor under which the launcher's listening socket travels from process to process. */
export const HOST_LISTENER_FD = 3;

function mainOf(part: string): string {
  return fileURLToPath(new URL(`../${part}/main.js`, import.meta.url));
}

/** Writes each process's configuration file and says how it is started. */
export async function planProcesses(
  state: StateDirectory,
  cluster: ClusterRecord,
  kubeletToken: string,
): Promise<ProcessPlans> {
  const { topology } = cluster;
  const pki = pkiFiles(state.pki);
  const url = `https://${topology.bridge.address}:${topology.apiServerPort}`;

  const configured = async (name: string, part: string, config: unknown): Promise<ProcessPlan> => {
    const file = join(state.configs, `${name}.json`);
    await writeJson(file, config);
    return { name, command: process.execPath, args: ['--enable-source-maps', mainOf(part), file] };
  };
  const apiServerAs = (client: string) => ({
    url,
    caFile: pki.ca,
    clientCertFile: pki.certificate(client),
    clientKeyFile: pki.key(client),
  });

  const apiServer = await configured('api-server', 'api-server', {
    listenFds: [HOST_LISTENER_FD],
    listen: [{ host: topology.bridge.address, port: topology.apiServerPort }],
    storeDirectory: state.store,
    pki: {
      caFile: pki.ca,
      certFile: pki.certificate('apiserver'),
      keyFile: pki.key('apiserver'),
      serviceAccountKeyFile: pki.key('service-account'),
    },
    serviceAccountIssuer: `https://kubernetes.default.svc.${topology.clusterDomain}`,
    serviceCidr: topology.serviceCidr,
    clusterDomain: topology.clusterDomain,
    kubeletToken,
    kubelets: topology.nodes.map((node) => ({
      nodeName: node.name,
      host: node.address,
      port: topology.kubeletPort,
    })),
  });
  const controllers = await configured('controllers', 'controllers', {
    apiServer: apiServerAs('controllers'),
    topology,
  });

  const nodes = new Map<string, readonly ProcessPlan[]>();
  for (const node of topology.nodes) {
    const kubelet: KubeletConfig = {
      nodeName: node.name,
      nodeIp: node.address,
      podCidr: node.podCidr,
      apiServer: apiServerAs(`kubelet-${node.name}`),
      imagesFile: cluster.imageTable ?? join(state.root, 'images.json'),
      kubeletPort: topology.kubeletPort,
      kubeletToken,
      clusterDns: topology.dnsServiceIp,
      clusterDomain: topology.clusterDomain,
      rootless: cluster.userMapping !== 'root',
    };
    nodes.set(node.name, [
      await configured(`kubelet-${node.name}`, 'kubelet', kubelet),
      await configured(`proxy-${node.name}`, 'proxy', {
        nodeName: node.name,
        nodeIp: node.address,
        podCidr: topology.podCidr,
        serviceCidr: topology.serviceCidr,
        apiServer: apiServerAs('proxy'),
      }),
    ]);
  }
  return {
    apiServer: { ...apiServer, descriptors: [HOST_LISTENER_FD] },
    controllers,
    onNode: (node) => nodes.get(node.name) ?? [],
  };
}
