import { request as httpRequest } from 'node:http';
import { isIPv4, isIPv6 } from 'node:net';
import { Component } from '@weft/api';
import {
  KubernetesClient,
  isNotFound,
  loadKubeConfig,
  resources,
  type Namespace,
  type Pod,
} from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import { decideEnrolment } from '../agent/enrolment.ts';
import { CniCode, CniFailure, type Invocation } from './cni-protocol.ts';
import type { PluginInput } from './plugin-config.ts';

const MAX_ANSWER_CHARS = 4_096;

/**
 * Asks the agent to redirect the pod, and throws if that doesn't happen before the signal aborts: a pod that should be
 * in the mesh must not start outside it. Resolves to what was done, for the log.
 */
export async function add(
  invocation: Invocation,
  input: PluginInput,
  signal: AbortSignal,
): Promise<'redirected' | 'not for the mesh'> {
  const { netns, podName, podNamespace } = invocation;
  const addresses = addressesOf(input.prevResult);
  if (podName === '' || podNamespace === '') return 'not for the mesh';
  if (needsNoAgent(input, podName, podNamespace)) return 'not for the mesh';
  if (!(await isWanted(input, podName, podNamespace, signal))) return 'not for the mesh';
  await askAgent(
    `${input.runDir}/pluginevent.sock`,
    { Netns: netns, PodName: podName, PodNamespace: podNamespace, IPs: addresses },
    signal,
  );
  return 'redirected';
}

/** The agent's own pods pass, or it could never start. */
export function needsNoAgent(
  input: Pick<PluginInput, 'agentNamespace' | 'excludedNamespaces'>,
  podName: string,
  podNamespace: string,
): boolean {
  const isAgent = podNamespace === input.agentNamespace && podName.startsWith(`${Component.cni}-`);
  return isAgent || input.excludedNamespaces.includes(podNamespace);
}

async function isWanted(
  input: PluginInput,
  name: string,
  namespace: string,
  signal: AbortSignal,
): Promise<boolean> {
  let pod: Pod;
  let owner: Namespace;
  try {
    const client = new KubernetesClient(loadKubeConfig({ path: `${input.runDir}/istio-cni-kubeconfig` }));
    [pod, owner] = await Promise.all([
      client.get(resources.pods, name, namespace, { signal }),
      client.get(resources.namespaces, namespace, undefined, { signal }),
    ]);
  } catch (error) {
    if (isNotFound(error)) return false; // deleted before it could start
    throw new WeftError('WEFT1701', `labels of pod ${namespace}/${name} can't be read`, { cause: error });
  }
  const policy = {
    selectors: input.selectors,
    excludedNamespaces: new Set(input.excludedNamespaces),
    systemNamespace: input.agentNamespace,
  };
  return decideEnrolment(policy, pod, owner).kind === 'enrol';
}

/** An address of the pod, spelled as Go spells a `net.IPNet`. */
interface PodAddress {
  readonly Interface: number | null;
  readonly Address: { readonly IP: string; readonly Mask: string };
  readonly Gateway: string | null;
}

/** `ips` of the previous plugin's result. Throws code 6. */
function addressesOf(prevResult: object | undefined): readonly PodAddress[] {
  const ips: unknown = prevResult === undefined ? [] : (Reflect.get(prevResult, 'ips') ?? []);
  const wrong = (where: string, expected: string): CniFailure =>
    new CniFailure(CniCode.decodingFailure, `prevResult.${where}: expected ${expected}`);
  if (!Array.isArray(ips)) throw wrong('ips', 'a list');
  return ips.map((entry: unknown, index) => {
    const field = (name: string): unknown =>
      typeof entry === 'object' && entry !== null ? Reflect.get(entry, name) : undefined;
    const subnet = parseSubnet(field('address'));
    if (subnet === undefined) throw wrong(`ips[${index}].address`, 'an address with its prefix');
    const networkInterface = field('interface');
    const gateway = field('gateway');
    return {
      Interface: typeof networkInterface === 'number' ? networkInterface : null,
      Address: subnet,
      Gateway: typeof gateway === 'string' ? gateway : null,
    };
  });
}

function parseSubnet(text: unknown): PodAddress['Address'] | undefined {
  if (typeof text !== 'string') return undefined;
  const [ip = '', prefix = '', ...rest] = text.split('/');
  const bits = isIPv4(ip) ? 32 : isIPv6(ip) ? 128 : 0;
  if (bits === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return undefined;
  const mask = Buffer.alloc(bits / 8, 0);
  for (let bit = 0; bit < Number(prefix); bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { IP: ip, Mask: mask.toString('base64') };
}

function askAgent(socketPath: string, body: unknown, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown): void =>
      reject(new WeftError('WEFT1701', `node agent at ${socketPath}: ${what}`, { cause }));
    const request = httpRequest(
      {
        socketPath,
        path: '/cmdadd',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        signal,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text = (text + chunk).slice(0, MAX_ANSWER_CHARS);
        });
        response.on('end', () =>
          response.statusCode === 200 ? resolve() : fail(text.trim() || `status ${response.statusCode}`),
        );
        response.on('error', (error) => fail('answer cut off', error));
      },
    );
    request.on('error', (error) => fail(signal.aborted ? 'no answer in time' : 'does not answer', error));
    request.end(JSON.stringify(body));
  });
}
