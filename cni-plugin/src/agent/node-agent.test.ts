import { describe, expect, it } from '@jest/globals';
import type { Namespace, Pod } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { ManualClock, WeftError, silentLogger } from '@weft/telemetry';
import fc from 'fast-check';
import { parseSelectors } from './enrolment.ts';
import { NodeAgent } from './node-agent.ts';
import type { NodeEffects } from './node-effects.ts';

const selectors = parseSelectors('- namespaceSelector: { matchLabels: { mesh: "on" } }');
const policy = { selectors, excludedNamespaces: new Set<string>(), systemNamespace: 'istio-system' };
const shop = (mesh: boolean): Namespace => ({
  metadata: { name: 'shop', labels: mesh ? { mesh: 'on' } : {} },
});

/** A node as the agent sees it: what is true in the kernel, in ztunnel and in the API. */
class FakeNode implements NodeEffects {
  readonly log: string[] = [];
  readonly rules = new Set<string>();
  readonly ztunnel = new Set<string>();
  readonly probes = new Map<string, string>();
  readonly annotations = new Map<string, string>();
  readonly open = new Set<string>();
  ztunnelUp = true;
  rulesFail = false;
  onServer: Pod | undefined;

  netns(uid: string): NetworkNamespace {
    this.open.add(uid);
    return { fd: 1, id: uid, close: () => void this.open.delete(uid) };
  }
  findNetworkNamespace(uid: string): NetworkNamespace | undefined {
    return this.netns(uid);
  }
  applyRules(netns: NetworkNamespace): void {
    if (this.rulesFail) throw new WeftError('WEFT1705', 'iptables-restore');
    this.log.push(`rules ${netns.id}`);
    this.rules.add(netns.id);
  }
  reconcileRules(netns: NetworkNamespace): void {
    this.applyRules(netns);
  }
  fetchPod(): Promise<Pod | undefined> {
    return Promise.resolve(this.onServer);
  }
  stopRedirecting(netns: NetworkNamespace): void {
    this.log.push(`no redirection ${netns.id}`);
  }
  removeRules(netns: NetworkNamespace): void {
    this.log.push(`no rules ${netns.id}`);
    this.rules.delete(netns.id);
  }
  allowProbes(uid: string, addresses: readonly string[]): void {
    for (const a of addresses) this.probes.set(a, uid);
  }
  disallowProbes(uid: string, addresses: readonly string[]): void {
    for (const a of addresses) if (this.probes.get(a) === uid) this.probes.delete(a);
  }
  addToZtunnel({ uid }: { uid: string }): Promise<void> {
    if (!this.ztunnelUp) return Promise.reject(new WeftError('WEFT1702', 'none'));
    this.log.push(`ztunnel ${uid}`);
    this.ztunnel.add(uid);
    return Promise.resolve();
  }
  removeFromZtunnel(uid: string): Promise<void> {
    this.log.push(`no ztunnel ${uid}`);
    this.ztunnel.delete(uid);
    return Promise.resolve();
  }
  annotate({ metadata }: Pod, value: string | undefined): Promise<void> {
    const uid = metadata.uid ?? '';
    this.log.push(`annotate ${uid} ${value}`);
    if (value === undefined) this.annotations.delete(uid);
    else this.annotations.set(uid, value);
    return Promise.resolve();
  }
}

function podOf(
  uid: string,
  o: { ip?: string; phase?: 'Running' | 'Succeeded'; annotation?: string } = {},
): Pod {
  const { ip = '10.0.0.1', phase = 'Running', annotation } = o;
  return {
    metadata: {
      name: uid,
      namespace: 'shop',
      uid,
      annotations: annotation === undefined ? {} : { 'ambient.istio.io/redirection': annotation },
    },
    spec: { containers: [], serviceAccountName: 'sa' },
    status: { phase, podIPs: ip === '' ? [] : [{ ip }] },
  };
}

function setUp(o: { mesh?: boolean; repairRules?: boolean } = {}) {
  const node = new FakeNode();
  const clock = new ManualClock();
  const { repairRules = true } = o;
  const errors: unknown[] = [];
  const agent = new NodeAgent({
    policy,
    effects: node,
    logger: silentLogger,
    clock,
    repairRules,
    onError: (error) => errors.push(error),
  });
  void agent.namespaceChanged('shop', shop(o.mesh ?? true));
  const advance = (ms: number): Promise<void> => clock.advance(ms);
  return { node, clock, agent, advance, errors };
}

describe('a running pod', () => {
  it('is annotated only after ztunnel listens in it and its traffic is redirected', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a'));
    expect(node.log).toEqual(['annotate a pending', 'ztunnel a', 'rules a', 'annotate a enabled']);
    expect(node.probes.get('10.0.0.1')).toBe('a');
    expect(agent.pending).toEqual([]);
  });

  it('is left alone while it has no address', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a', { ip: '' }));
    expect(node.log).toEqual([]);
  });

  it('keeps its traffic until ztunnel is there, is marked as pending, and is enrolled later', async () => {
    const { node, agent, advance } = setUp();
    node.ztunnelUp = false;
    await agent.podChanged('a', podOf('a'));
    expect(node.rules.size).toBe(0);
    expect(node.annotations.get('a')).toBe('pending');
    expect(agent.pending).toEqual(['shop/a']);
    node.ztunnelUp = true;
    await advance(10_000);
    expect(node.rules.has('a')).toBe(true);
    expect(node.annotations.get('a')).toBe('enabled');
  });

  it('is enrolled when a ztunnel connects, however long it had to wait for the next attempt', async () => {
    const { node, agent, advance } = setUp();
    node.ztunnelUp = false;
    await agent.podChanged('a', podOf('a'));
    await agent.podChanged('b', podOf('b', { ip: '10.0.0.2' }));
    await advance(60_000);
    node.ztunnelUp = true;
    agent.retryPending();
    await advance(0);
    expect(agent.pending).toEqual([]);
    expect([...node.rules]).toEqual(['a', 'b']);
    node.log.length = 0;
    agent.retryPending();
    await advance(0);
    expect(node.log).toEqual([]);
  });

  it('stays announced when the agent restarts while ztunnel is away', async () => {
    const { node, agent } = setUp();
    node.ztunnelUp = false;
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    expect(node.log).not.toContain('annotate a pending');
  });

  it('keeps the rules of an earlier agent as they are if these are not to be repaired', async () => {
    const { node, agent } = setUp({ repairRules: false });
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    await agent.podChanged('b', podOf('b', { ip: '10.0.0.2' }));
    expect([...node.rules]).toEqual(['b']);
    expect([...node.ztunnel]).toEqual(['a', 'b']);
    // A new sandbox of the same pod has no rules of anybody.
    await agent.enrolNewPod(podOf('a', { annotation: 'enabled' }), shop(true), node.netns('a'), ['10.0.0.1']);
    expect([...node.rules]).toEqual(['b', 'a']);
  });

  it('that can not be enrolled is an error with a code', async () => {
    const { node, agent, errors } = setUp();
    node.ztunnelUp = false;
    await agent.podChanged('a', podOf('a'));
    expect(errors).toEqual([expect.objectContaining({ code: 'WEFT1702' })]);
    agent.stop();
  });

  it('leaves the mesh in the opposite order, after its peers had time to learn', async () => {
    const { node, agent, advance } = setUp();
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    node.log.length = 0;
    void agent.namespaceChanged('shop', shop(false));
    await advance(1_900);
    expect(node.log).toEqual(['annotate a pending']);
    await advance(300);
    expect(node.log.slice(1)).toEqual([
      'no redirection a',
      'no ztunnel a',
      'no rules a',
      'annotate a undefined',
    ]);
    expect(node.probes.size).toBe(0);
    expect(node.open.size).toBe(0);
  });

  it.each(['enabled', 'pending'])(
    'that an earlier agent left %s, and that nothing asks for any more, is taken out all the same',
    async (annotation) => {
      const { node, agent } = setUp({ mesh: false });
      await agent.podChanged('a', podOf('a', { annotation }));
      expect(node.log.slice(-4)).toEqual([
        'no redirection a',
        'no ztunnel a',
        'no rules a',
        'annotate a undefined',
      ]);
      expect(node.open.size).toBe(0);
    },
  );

  it('stays when its label comes back while it leaves', async () => {
    const { node, agent, advance } = setUp();
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    void agent.namespaceChanged('shop', shop(false));
    await advance(500);
    void agent.namespaceChanged('shop', shop(true));
    await advance(3_000);
    expect(node.rules.has('a')).toBe(true);
    expect(node.annotations.get('a')).toBe('enabled');
  });

  it('is let go when it has finished, without touching a namespace that may be gone', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a'));
    await agent.podChanged('a', podOf('a', { phase: 'Succeeded' }));
    expect(node.log).not.toContain('no rules a');
    expect(node.ztunnel.size + node.probes.size + node.open.size).toBe(0);
  });

  it('has its probe address followed', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a'));
    await agent.podChanged('a', podOf('a', { ip: '10.0.0.9' }));
    expect([...node.probes]).toEqual([['10.0.0.9', 'a']]);
  });
});

describe('a new pod', () => {
  it('does not start while ztunnel is away, and leaves nothing behind', async () => {
    const { node, agent } = setUp();
    node.ztunnelUp = false;
    await expect(
      agent.enrolNewPod(podOf('a', { ip: '' }), shop(true), node.netns('a'), ['10.0.0.1']),
    ).rejects.toMatchObject({
      code: 'WEFT1702',
    });
    expect(agent.enrolledCount + node.open.size + node.probes.size).toBe(0);
  });

  it('does not start when its rules can not be applied', async () => {
    const { node, agent } = setUp();
    node.rulesFail = true;
    await expect(
      agent.enrolNewPod(podOf('a', { ip: '' }), shop(true), node.netns('a'), ['10.0.0.1']),
    ).rejects.toThrow();
    expect(node.ztunnel.size + node.open.size + node.probes.size).toBe(0);
  });

  it('is not enrolled a second time when the watch shows it', async () => {
    const { node, agent } = setUp();
    await agent.enrolNewPod(podOf('a', { ip: '' }), shop(true), node.netns('a'), ['10.0.0.1']);
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    expect(node.log).toEqual(['ztunnel a', 'rules a', 'annotate a enabled']);
  });

  it('passes when nothing asks for it', async () => {
    const { node, agent } = setUp();
    expect(await agent.enrolNewPod(podOf('a'), shop(false), node.netns('a'), ['10.0.0.1'])).toBe('left');
    expect(node.log).toEqual([]);
    expect(node.open.size).toBe(0);
  });
});

describe('a pod that the plugin brought and the watch never showed', () => {
  const bring = async () => {
    const set = setUp();
    await set.agent.enrolNewPod(podOf('a', { ip: '' }), shop(true), set.node.netns('a'), ['10.0.0.1']);
    return set;
  };

  it('is given its time, then asked for, and let go if it is gone', async () => {
    const { node, agent, advance } = await bring();
    await agent.forgetUnseen();
    expect(agent.enrolledCount).toBe(1);
    await advance(61_000);
    await agent.forgetUnseen();
    expect(agent.enrolledCount + node.open.size + node.probes.size + node.ztunnel.size).toBe(0);
  });

  it('stays if the API server knows it', async () => {
    const { node, agent, advance } = await bring();
    node.onServer = podOf('a', { annotation: 'enabled' });
    await advance(61_000);
    await agent.forgetUnseen();
    expect(agent.expected.map(({ uid }) => uid)).toEqual(['a']);
  });
});

describe('a repair', () => {
  it('of rules writes them again and nothing else', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    node.log.length = 0;
    await agent.repair('a', 'rules');
    expect(node.log).toEqual(['rules a']);
  });

  it('of a ztunnel that serves a pod only in its own opinion adds the pod again', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    node.log.length = 0;
    await agent.repair('a', 'ztunnel');
    expect(node.log).toEqual(['no ztunnel a', 'ztunnel a', 'rules a']);
  });

  it('of a replaced namespace enrols the new one and closes the old one', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a', { annotation: 'enabled' }));
    node.log.length = 0;
    node.findNetworkNamespace = () => node.netns('a-again');
    await agent.repair('a', 'namespace');
    expect(node.log).toEqual(['ztunnel a', 'rules a-again']);
    expect([...node.open]).toEqual(['a-again']);
  });
});

it('allows the probes again that somebody took out of the set', async () => {
  const { node, agent } = setUp();
  await agent.podChanged('a', podOf('a'));
  node.probes.clear();
  agent.allowProbesAgain(new Set());
  expect(node.probes.get('10.0.0.1')).toBe('a');
});

describe('a snapshot', () => {
  it('adds what is held and keeps what was enrolled but is not found', async () => {
    const { node, agent } = setUp();
    await agent.podChanged('a', podOf('a'));
    node.findNetworkNamespace = () => undefined;
    await agent.podChanged('b', podOf('b', { annotation: 'enabled' }));
    expect(agent.snapshot().map((e) => (e.kind === 'add' ? `add ${e.pod.uid}` : `keep ${e.uid}`))).toEqual([
      'add a',
      'keep b',
    ]);
    agent.stop();
  });
});

it('takes back every annotation first when it unenrols all, while it still may', async () => {
  const { node, agent } = setUp();
  await agent.podChanged('a', podOf('a'));
  await agent.podChanged('b', podOf('b', { ip: '10.0.0.2' }));
  node.log.length = 0;
  await agent.unenrolAll();
  expect(node.log.slice(0, 3)).toEqual(['annotate a undefined', 'annotate b undefined', 'no redirection a']);
});

it('names the addresses of all pods that belong into the mesh', async () => {
  const { node, agent } = setUp();
  node.ztunnelUp = false;
  await agent.podChanged('a', podOf('a'));
  await agent.podChanged('b', podOf('b', { ip: '10.0.0.2', phase: 'Succeeded' }));
  expect(agent.wantedAddresses).toEqual(['10.0.0.1']);
  void agent.namespaceChanged('shop', shop(false));
  expect(agent.wantedAddresses).toEqual([]);
  agent.stop();
});

it('unenrols every pod without the API server', async () => {
  const { node, agent } = setUp();
  await agent.podChanged('a', podOf('a'));
  await agent.podChanged('b', podOf('b', { ip: '10.0.0.2' }));
  node.annotate = () => Promise.reject(new Error('forbidden'));
  await agent.unenrolAll();
  expect(node.rules.size + node.ztunnel.size + node.probes.size + node.open.size).toBe(0);
});

it('ends in the state that the labels ask for, whatever happened before', async () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('mesh' as const), on: fc.boolean() }),
    fc.record({
      kind: fc.constant('pod' as const),
      uid: fc.constantFrom('a', 'b'),
      state: fc.constantFrom('run', 'end', 'gone'),
    }),
    fc.record({ kind: fc.constant('ztunnel' as const), up: fc.boolean() }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(100, 3_000) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 15 }), async (events) => {
      const { node, agent, advance } = setUp({ mesh: false });
      const running = new Set<string>();
      let mesh = false;
      const ip = (uid: string): string => (uid === 'a' ? '10.0.0.1' : '10.0.0.2');
      const see = (uid: string): void => {
        const annotation = node.annotations.get(uid);
        void agent.podChanged(
          uid,
          podOf(uid, { ip: ip(uid), ...(annotation === undefined ? {} : { annotation }) }),
        );
      };
      for (const e of events) {
        if (e.kind === 'mesh') void agent.namespaceChanged('shop', shop((mesh = e.on)));
        else if (e.kind === 'ztunnel') node.ztunnelUp = e.up;
        else if (e.kind === 'wait') await advance(e.ms);
        else if (e.state === 'run') {
          running.add(e.uid);
          see(e.uid);
        } else {
          running.delete(e.uid);
          void agent.podChanged(
            e.uid,
            e.state === 'gone' ? undefined : podOf(e.uid, { ip: ip(e.uid), phase: 'Succeeded' }),
          );
        }
      }
      node.ztunnelUp = true;
      await advance(15_000);
      for (const uid of running) see(uid);
      await advance(15_000);
      const wanted = mesh ? [...running].sort() : [];
      expect([...node.ztunnel].sort()).toEqual(wanted);
      expect([...node.open].sort()).toEqual(wanted);
      expect([...node.probes.values()].sort()).toEqual(wanted);
      expect(wanted.every((uid) => node.rules.has(uid) && node.annotations.get(uid) === 'enabled')).toBe(
        true,
      );
      agent.stop();
    }),
    { numRuns: 60 },
  );
});
