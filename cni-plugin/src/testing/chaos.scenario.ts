import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Port } from '@weft/api';
import { openNetworkNamespace } from '@weft/linux';
import { listeningPorts } from '../agent/capture-probes.ts';
import { commandRunner } from '../rules/command.ts';
import { PodRedirection } from '../rules/pod-redirection.ts';
import { ChaosNode, ChaosPod } from './chaos-node.ts';
import { children } from './chaos-process.ts';
import { residue, settingsFor } from './redirection.scenario.ts';

/**
 * What is wrong for longer is not mended at all: the agent of this test audits every second, and waits no longer than
 * five between tries. The rest is for slow machines.
 */
const SETTLE_MS = 60_000;
const rules = { bypassInbound: false, dnsCapture: true, virtualInterfaces: [] };

function isLabelled(node: ChaosNode, pod: ChaosPod): boolean {
  return node.api.pod(pod.name)?.metadata.labels?.['istio.io/dataplane-mode'] === 'ambient';
}

/** How many namespaces the agent and ztunnel hold. */
function heldCounts(node: ChaosNode): string {
  return node
    .heldNamespaces()
    .map((held) => held.size)
    .join(' ');
}

/** What is wrong with what the API says of a pod. */
function apiFault(node: ChaosNode, pod: ChaosPod): string | undefined {
  const object = node.api.pod(pod.name);
  const annotation = object?.metadata.annotations?.['ambient.istio.io/redirection'];
  const condition = object?.status?.conditions?.find(({ type }) => type === 'weft.dev/Captured');
  const said = `annotated ${annotation}, condition ${condition?.status} ${condition?.message ?? ''}`;
  if (isLabelled(node, pod))
    return annotation === 'enabled' && condition?.status === 'True' ? undefined : `${pod.name}: ${said}`;
  return annotation === undefined && condition === undefined
    ? undefined
    : `${pod.name}, not labelled: ${said}`;
}

/** What is wrong with a pod, as its kernel says, not the agent. */
function kernelFault(node: ChaosNode, pod: ChaosPod, backend: string): string | undefined {
  const netns = openNetworkNamespace(pod.netns);
  try {
    const ports = listeningPorts(netns);
    const runner = commandRunner(netns);
    if (!isLabelled(node, pod)) {
      const left = residue(runner);
      if (left !== '') return `${pod.name}: not labelled, but has ${left.split('\n')[0]}`;
      return ports.size > 0 ? `${pod.name}: not labelled, but served` : undefined;
    }
    const differences = new PodRedirection(runner, settingsFor(backend)).differences(rules);
    if (differences.length > 0) {
      const [agent, ztunnel] = node.heldNamespaces().map((held) => held.has(pod.netnsLink));
      return `${pod.name}: namespace held by agent: ${agent}, by ztunnel: ${ztunnel}; ${differences.join('; ')}`;
    }
    const silent = [Port.outboundCapture, Port.inboundCapture, Port.hbone].filter((port) => !ports.has(port));
    return silent.length > 0 ? `${pod.name}: nobody on ${silent.join()}` : undefined;
  } finally {
    netns.close();
  }
}

function probed(backend: string): readonly string[] {
  const [program, args] =
    backend === 'nftables'
      ? (['nft', ['list', 'set', 'inet', 'istio-ambient-nat', 'istio-inpod-probes-v4']] as const)
      : (['ipset', ['list', 'istio-inpod-probes-v4']] as const);
  const text = commandRunner().tryRun(program, args).stdout;
  return [...text.matchAll(/(10\.50\.\d+\.\d+) comment/g)].map(([, address = '']) => address).sort();
}

async function settled<T>(look: () => T, isGood: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const value = look();
    if (isGood(value) || Date.now() > deadline) return value;
    await sleep(1_000);
  }
}

/** Pods come and go while agent, ztunnel and plugin die at random; then it is quiet, and everything must be right. */
export async function chaos(
  seed: number,
  backend: string,
  podCount: number,
): Promise<Record<string, unknown>> {
  const node = new ChaosNode(seed, backend);
  const { random } = node;
  const pods: ChaosPod[] = [];
  let kills = 0;
  const begun = Date.now();
  try {
    await node.open();
    let working = true;
    const monkey = (async () => {
      // By pods, not by time: a slow machine is not to spend its day starting what is killed at once.
      let next = 0;
      while (working) {
        await sleep(random() * 200);
        if (node.started < next) continue;
        await node.killSomething();
        kills++;
        next = node.started + 1 + Math.floor(random() * 6);
      }
    })();
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < podCount) {
        const pod = new ChaosPod(node, next++);
        pods.push(pod);
        await pod.start(random() < 0.7, 0.15);
        const fate = random();
        if (fate < 0.5) await pod.stop(random() < 0.3);
        else if (fate < 0.7) pod.label(random() < 0.5);
        else if (fate < 0.85) await pod.restart(random() < 0.6);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    working = false;
    await monkey;
    const alive = pods.filter((pod) => pod.alive);
    const busyMs = Date.now() - begun;
    const wanted = alive.filter((pod) => isLabelled(node, pod));
    const isEmpty = (found: readonly string[]): boolean => found.length === 0;
    const faults = [
      ...(await settled(() => alive.flatMap((pod) => apiFault(node, pod) ?? []), isEmpty)),
      ...(await settled(() => alive.flatMap((pod) => kernelFault(node, pod, backend) ?? []), isEmpty)),
    ];
    const expected = wanted
      .map((pod) => pod.address)
      .sort()
      .join();
    const settledMs = Date.now() - begun - busyMs;
    const probes = await settled(
      () => probed(backend).join(),
      (p) => p === expected,
    );
    const held = await settled(
      () => heldCounts(node),
      (h) => h === `${wanted.length} ${wanted.length}`,
    );
    for (const pod of alive) await pod.stop(false);
    const heldAfter = await settled(
      () => heldCounts(node),
      (h) => h === '0 0',
    );
    const probesAfter = await settled(
      () => probed(backend).join(),
      (p) => p === '',
    );
    await node.close();
    return {
      faults,
      probedAsWanted: probes === expected,
      heldAsWanted: held === `${wanted.length} ${wanted.length}`,
      heldAfter,
      probesAfter,
      residue: residue(commandRunner()),
      pods: pods.length,
      // Not asserted, shown.
      story: `${kills} kills in ${busyMs} ms, ${alive.length} pods alive at the end, ${wanted.length} of them labelled, as they should be ${settledMs} ms later`,
      log: faults.length > 0 ? node.logOf(faults.map((fault) => fault.split(/[:,]/)[0] ?? '')) : '',
    };
  } finally {
    children.forEach((child) => child.kill('SIGKILL'));
    rmSync(node.dir, { recursive: true, force: true });
  }
}

/**
 * The sandbox of a captured pod is made anew past the plugin, with the same address, while nobody dies. Its former
 * namespace lives on with its interface, held by agent and ztunnel.
 */
export async function restartsPastPlugin(backend: string): Promise<Record<string, unknown>> {
  const node = new ChaosNode(0, backend);
  try {
    await node.open();
    const pod = new ChaosPod(node, 1);
    await pod.start(true, 0);
    const faultOf = (): string | undefined => kernelFault(node, pod, backend) ?? apiFault(node, pod);
    const isNone = (fault: string | undefined): boolean => fault === undefined;
    const before = await settled(faultOf, isNone);
    await pod.restart(false);
    const after = await settled(faultOf, isNone);
    const held = await settled(
      () => heldCounts(node),
      (h) => h === '1 1',
    );
    await pod.stop(false);
    await node.close();
    return { before: before ?? '', after: after ?? '', held, log: node.logOf([pod.name]) };
  } finally {
    children.forEach((child) => child.kill('SIGKILL'));
    rmSync(node.dir, { recursive: true, force: true });
  }
}
