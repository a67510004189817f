import { describe, expect, it } from '@jest/globals';
import type { Pod } from '@weft/kubernetes';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { CaptureAudit, type CaptureProbes } from './capture-audit.ts';
import { parseListeners } from './capture-probes.ts';
import { judgeCapture, type CaptureObservation, type CaptureVerdict } from './capture-verdict.ts';
import type { EnrolledPod, ExpectedPod } from './enrolled-pod.ts';

const captured: CaptureObservation = {
  enrolment: { kind: 'added' },
  namespaceIsCurrent: true,
  listening: new Set([15001, 15006, 15008]),
  redirect: 'redirected',
  ruleDifferences: [],
  identity: { kind: 'issued', spiffeId: 'spiffe://td/ns/shop/sa/sa', validUntilMs: 2 },
  namespace: 'shop',
  serviceAccount: 'sa',
  dnsCapture: false,
};

describe('a pod', () => {
  it.each<[string, Partial<CaptureObservation>, string, string]>([
    ['is not enrolled', { enrolment: { kind: 'pending', failure: 'WEFT1702' } }, 'NotEnrolled', 'wait'],
    ['has a namespace made anew', { namespaceIsCurrent: false }, 'NamespaceReplaced', 'namespace'],
    ['has no listener on 15006', { listening: new Set([15001, 15008]) }, 'NotListening', 'ztunnel'],
    ['has nobody who answers its DNS', { dnsCapture: true }, 'NotListening', 'ztunnel'],
    ['has other rules', { ruleDifferences: ['a'], redirect: 'not-redirected' }, 'RulesDiffer', 'rules'],
    ['is not redirected whatever its rules', { redirect: 'not-redirected' }, 'NotRedirected', 'rules'],
    ['has no certificate', { identity: { kind: 'none', reason: 'ECONNRESET' } }, 'NoIdentity', 'wait'],
    [
      'has a certificate that ended',
      { identity: { kind: 'issued', spiffeId: 'spiffe://td/ns/shop/sa/sa', validUntilMs: 1 } },
      'NoIdentity',
      'wait',
    ],
    [
      'has the identity of another',
      { identity: { kind: 'issued', spiffeId: 'spiffe://td/ns/shop/sa/other', validUntilMs: 2 } },
      'WrongIdentity',
      'ztunnel',
    ],
  ])('that %s is uncaptured', (_what, change, fault, repair) => {
    expect(judgeCapture({ ...captured, ...change }, 1)).toMatchObject({ kind: 'uncaptured', fault, repair });
  });

  it('with other rules is said to have these, in as many words as an event takes', () => {
    const messageOf = (ruleDifferences: readonly string[]): string => {
      const verdict = judgeCapture({ ...captured, ruleDifferences }, 1);
      return verdict.kind === 'uncaptured' ? verdict.message : '';
    };
    expect(messageOf(['nat OUTPUT is missing', 'no route'])).toMatch(/: nat OUTPUT is missing; no route$/);
    expect(messageOf(Array.from({ length: 100 }, (_, i) => `nat CHAIN${i} is missing`)).length).toBeLessThan(
      1024,
    );
  });

  it.each<[string, Partial<CaptureObservation>]>([
    ['of which everything was seen', {}],
    ['that can reach nobody', { redirect: 'no-route' }],
  ])('%s is captured', (_what, change) => {
    expect(judgeCapture({ ...captured, ...change }, 1)).toEqual({ kind: 'captured' });
  });
});

it('reads which ports listen from the kernel’s table', () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F90 0200007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   2: 00000000000000000000000000000000:3AA0 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 1
`;
  expect(parseListeners(table)).toEqual([15000, 15008]);
});

describe('the audit', () => {
  const pod: Pod = {
    metadata: { name: 'a', namespace: 'shop', uid: 'a' },
    spec: { containers: [], serviceAccountName: 'sa' },
    status: { conditions: [{ type: 'weft.dev/Captured', status: 'True' }] },
  };
  const enrolledPod: EnrolledPod = {
    uid: 'a',
    name: 'a',
    namespace: 'shop',
    serviceAccount: 'sa',
    addresses: ['10.0.0.1'],
    state: 'added',
    rules: 'absent',
    heldSinceMs: 0,
    netns: { fd: 0, id: 'a', close: () => undefined },
  };
  const setUp = () => {
    const clock = new ManualClock();
    const log: string[] = [];
    const world = {
      ...captured,
      identity: { kind: 'issued', spiffeId: 'x/ns/shop/sa/sa', validUntilMs: Number.MAX_VALUE } as const,
      ruleDifferences: [] as readonly string[],
      reportFails: false,
    };
    let expected: ExpectedPod[] = [
      {
        uid: 'a',
        pod,
        enrolled: enrolledPod,
        rules: { bypassInbound: false, dnsCapture: false, virtualInterfaces: [] },
        failure: undefined,
      },
    ];
    const probes: CaptureProbes = {
      hold: (netns) => netns,
      namespaceCheck: () => () => world.namespaceIsCurrent ?? true,
      listeningPorts: () => world.listening ?? new Set(),
      redirect: () => Promise.resolve(world.redirect ?? 'redirected'),
      ruleDifferences: () => {
        log.push('compare rules');
        return world.ruleDifferences;
      },
      identity: () => {
        log.push('ask for the certificate');
        return Promise.resolve(world.identity);
      },
      report: (_pod, verdict: CaptureVerdict) => {
        log.push(`report ${verdict.kind === 'captured' ? 'captured' : verdict.fault}`);
        return world.reportFails ? Promise.reject(new Error('away')) : Promise.resolve();
      },
    };
    const agent = {
      get expected() {
        return expected;
      },
      repair: (uid: string, what: string) => {
        log.push(`repair ${what} of ${uid}`);
        return Promise.resolve();
      },
      forgetUnseen: () => Promise.resolve(),
    };
    const audit = new CaptureAudit({ agent, probes, clock, logger: silentLogger, graceMs: 60_000 });
    const setExpected = (pods: ExpectedPod[]): void => void (expected = pods);
    return { clock, log, world, audit, setExpected };
  };

  it('looks at everything first, and later at what is cheap', async () => {
    const { audit, log, clock } = setUp();
    await audit.round();
    expect(log).toEqual(['compare rules', 'ask for the certificate', 'report captured']);
    await clock.advance(15_000);
    await audit.round();
    expect(log).toHaveLength(3);
    await clock.advance(60_000);
    await audit.round();
    expect(log.slice(3)).toEqual(['compare rules']);
  });

  it('compares the rules at once when a connection is not redirected, repairs and tells, once for each change', async () => {
    const { audit, log, world, clock } = setUp();
    await audit.round();
    log.length = 0;
    Object.assign(world, { redirect: 'not-redirected', ruleDifferences: ['nat OUTPUT is missing'] });
    await audit.round();
    expect(log).toEqual(['compare rules', 'repair rules of a', 'report RulesDiffer']);
    expect(audit.uncaptured).toEqual(['shop/a']);
    log.length = 0;
    await clock.advance(1_000);
    await audit.round();
    expect(log).not.toContain('report RulesDiffer');
    Object.assign(world, { redirect: 'redirected', ruleDifferences: [] });
    await audit.round();
    expect(log.at(-1)).toBe('report captured');
    expect(audit.uncaptured).toEqual([]);
  });

  it('is overdue with a pod that stays uncaptured past the grace, until it is captured or gone', async () => {
    const { audit, world, clock, setExpected } = setUp();
    Object.assign(world, { listening: new Set() });
    await audit.round();
    expect(audit.overdue).toEqual([]);
    await clock.advance(60_000);
    expect(audit.overdue).toEqual(['shop/a']);
    setExpected([]);
    await audit.round();
    expect(audit.overdue).toEqual([]);
  });

  it('says nothing of a pod that is just on its way, but of one that stays there', async () => {
    const { audit, log, setExpected } = setUp();
    setExpected([
      {
        uid: 'a',
        pod,
        enrolled: undefined,
        rules: { bypassInbound: false, dnsCapture: false, virtualInterfaces: [] },
        failure: undefined,
      },
    ]);
    await audit.round();
    expect(log).toEqual([]);
    await audit.round();
    expect(log).toEqual(['report NotEnrolled']);
  });

  it('writes the condition again when that failed', async () => {
    const { audit, log, world } = setUp();
    world.reportFails = true;
    await audit.round();
    world.reportFails = false;
    await audit.round();
    await audit.round();
    expect(log.filter((line) => line === 'report captured')).toHaveLength(2);
  });
});
