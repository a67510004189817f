import { request as httpRequest } from 'node:http';
import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs';
import { Component, SYSTEM_NAMESPACE } from '@weft/api';
import {
  KubernetesClient,
  isNotFound,
  loadKubeConfig,
  resources,
  type Namespace,
  type Pod,
} from '@weft/kubernetes';
import { WeftError, describeError } from '@weft/telemetry';
import { decideEnrolment } from '../agent/enrolment.ts';
import { parsePluginInput, type PluginInput } from './plugin-config.ts';

const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
/** The kubelet waits for us; after this it is better to fail and be tried again. */
const DEADLINE_MS = 5_000;
const MAX_LOG_BYTES = 10 * 1024 * 1024;
/** Codes of the CNI specification. */
const CniCode = { invalidEnvironment: 4, decodingFailure: 6, invalidConfig: 7, tryAgainLater: 11 } as const;

/** What the runtime told by environment and standard input. */
export interface Invocation {
  readonly command: string;
  readonly netns: string;
  readonly arguments_: ReadonlyMap<string, string>;
  readonly stdin: string;
}

/** What the plugin prints, and the status it exits with. */
export interface Outcome {
  readonly exitCode: 0 | 1;
  readonly output: string;
}

export async function runPlugin(): Promise<void> {
  const invocation: Invocation = {
    command: process.env['CNI_COMMAND'] ?? '',
    netns: process.env['CNI_NETNS'] ?? '',
    arguments_: parseArguments(process.env['CNI_ARGS'] ?? ''),
    stdin: readFileSync(0, 'utf8'),
  };
  const { exitCode, output } = await invoke(invocation);
  // The runtime reads the result from the pipe; leave only when it is written.
  process.stdout.write(output, () => process.exit(exitCode));
}

/** `K8S_POD_NAME=a;K8S_POD_NAMESPACE=b` */
export function parseArguments(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split(';')
      .filter((pair) => pair.includes('='))
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

export async function invoke(invocation: Invocation): Promise<Outcome> {
  let cniVersion = '0.3.1';
  try {
    if (invocation.command === 'VERSION') {
      return success({ cniVersion: '1.1.0', supportedVersions: SUPPORTED_VERSIONS });
    }
    const input = parsePluginInput(invocation.stdin);
    cniVersion = input.cniVersion;
    if (!SUPPORTED_VERSIONS.includes(cniVersion)) {
      return failure(
        cniVersion,
        1,
        `CNI version ${cniVersion} is not supported`,
        SUPPORTED_VERSIONS.join(', '),
      );
    }
    switch (invocation.command) {
      case 'ADD':
        await add(invocation, input);
        return success(input.prevResult ?? { cniVersion });
      // Rules and tunnel sockets go with the network namespace.
      case 'DEL':
      case 'CHECK':
      case 'GC':
      case 'STATUS':
        return { exitCode: 0, output: '' };
      default:
        return failure(
          cniVersion,
          CniCode.invalidEnvironment,
          `CNI_COMMAND ${invocation.command} is unknown`,
          '',
        );
    }
  } catch (error) {
    const code =
      WeftError.is(error) && error.code === 'WEFT1706' ? CniCode.decodingFailure : CniCode.tryAgainLater;
    return failure(cniVersion, code, describeError(error), WeftError.is(error) ? error.next : '');
  }
}

function success(result: unknown): Outcome {
  return { exitCode: 0, output: JSON.stringify(result) };
}

function failure(cniVersion: string, code: number, msg: string, details: string): Outcome {
  return { exitCode: 1, output: JSON.stringify({ cniVersion, code, msg, details }) };
}

/**
 * Asks the agent to redirect the pod, and fails if that doesn't happen: a pod that should be in the mesh must not
 * start outside it. The agent's own pods pass, or it could never start.
 */
async function add(invocation: Invocation, input: PluginInput): Promise<void> {
  const name = invocation.arguments_.get('K8S_POD_NAME') ?? '';
  const namespace = invocation.arguments_.get('K8S_POD_NAMESPACE') ?? '';
  const log = logger(input.runDir, `${namespace}/${name}`);
  if (name === '' || namespace === '') return; // not a Kubernetes pod
  if (namespace === input.agentNamespace && name.startsWith(`${Component.cni}-`)) return;
  if (input.excludedNamespaces.includes(namespace)) return;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    if (!(await isWanted(input, name, namespace, signal))) return log('not for the mesh');
    await askAgent(`${input.runDir}/pluginevent.sock`, {
      Netns: invocation.netns,
      PodName: name,
      PodNamespace: namespace,
      IPs: addressesOf(input.prevResult),
    });
    log('redirected');
  } catch (error) {
    log(`failed: ${describeError(error)}`);
    throw error;
  }
}

async function isWanted(
  input: PluginInput,
  name: string,
  namespace: string,
  signal: AbortSignal,
): Promise<boolean> {
  const client = new KubernetesClient(loadKubeConfig({ path: `${input.runDir}/istio-cni-kubeconfig` }));
  let pod: Pod;
  let owner: Namespace;
  try {
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
    systemNamespace: input.agentNamespace || SYSTEM_NAMESPACE,
  };
  return decideEnrolment(policy, pod, owner).kind === 'enrol';
}

/** `ips` of the previous plugin's result, in the agent's spelling. */
function addressesOf(prevResult: unknown): readonly { Interface: unknown; Address: { IP: string } }[] {
  const ips: unknown =
    typeof prevResult === 'object' && prevResult !== null ? Reflect.get(prevResult, 'ips') : undefined;
  if (!Array.isArray(ips)) return [];
  return ips.flatMap((entry: unknown) => {
    const address: unknown =
      typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'address') : undefined;
    if (typeof address !== 'string') return [];
    const [ip = ''] = address.split('/');
    return [{ Interface: null, Address: { IP: ip } }];
  });
}

function askAgent(socketPath: string, body: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown): void =>
      reject(new WeftError('WEFT1701', `node agent at ${socketPath}: ${what}`, { cause }));
    const request = httpRequest(
      {
        socketPath,
        path: '/cmdadd',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        timeout: DEADLINE_MS,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text = (text + chunk).slice(0, 4_096);
        });
        response.on('end', () =>
          response.statusCode === 200 ? resolve() : fail(text.trim() || `status ${response.statusCode}`),
        );
        response.on('error', (error) => fail('answer cut off', error));
      },
    );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${DEADLINE_MS} ms`)));
    request.on('error', (error) => fail('does not answer', error));
    request.end(JSON.stringify(body));
  });
}

/** The runtime shows only failures; this file tells of every call. */
function logger(runDir: string, pod: string): (text: string) => void {
  const file = `${runDir}/istio-cni.log`;
  return (text) => {
    try {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES)
        renameSync(file, `${file}.1`);
      appendFileSync(file, `${new Date().toISOString()}\t${pod}\t${text}\n`);
    } catch {
      // A full or read-only disk must not keep pods from starting.
    }
  };
}
