import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createMetricsRegistry, silentLogger } from '@weft/telemetry';
import { ConnectionTable, type OpenConnection } from './connection-table.ts';
import { PolicyGate, type UnknownPolicy } from './policy-gate.ts';
import { MeshState } from '../state/mesh-state.ts';
import type { Policy } from '../state/policy.ts';
import type { Workload } from '../state/workload.ts';
import { AccessLog } from '../telemetry/access-log.ts';
import { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { at, ip, policy, workload } from '../testing/records.ts';

let state: MeshState;
let connections: ConnectionTable;
let gate: PolicyGate;
let cuts: string[];
let onCut: () => void;

beforeEach(() => {
  jest.useFakeTimers();
  state = new MeshState();
  const metrics = new ZtunnelMetrics(createMetricsRegistry(), {
    istioVersion: 'test',
    pods: () => undefined,
  });
  connections = new ConnectionTable(metrics, new AccessLog(silentLogger));
  cuts = [];
  onCut = () => undefined;
  gate = policyGate('deny');
});
afterEach(() => {
  gate.close();
  jest.useRealTimers();
});

const policyGate = (unknownPolicy: UnknownPolicy): PolicyGate =>
  new PolicyGate({
    state,
    connections,
    logger: silentLogger,
    logAtInfo: false,
    unknownPolicy,
    cut: (connection, why) => {
      cuts.push(why);
      onCut();
      connections.closed(connection.id, 0, 0, undefined);
    },
  });

const listing = (...authorizationPolicies: string[]): Workload =>
  workload('server', '10.0.0.2', { authorizationPolicies });
const applyWorkload = (w: Workload): void => state.applyAddresses([{ kind: 'workload', workload: w }]);
const applyPolicy = (p: Policy): void => state.applyPolicies([{ kind: 'policy', policy: p }]);
const selected = (name: string, more: Partial<Policy> = {}): Policy =>
  policy(`default/${name}`, { scope: 'WorkloadSelector', ...more });

function open(local: Workload, id = 1): OpenConnection {
  return connections.opened({
    id,
    podUid: 'u',
    local,
    direction: 'inbound',
    protocol: 'TCP',
    source: at('10.0.0.1', 4000),
    destination: at('10.0.0.2', 80),
    originalDestination: undefined,
    hboneTarget: undefined,
    forwardedHost: undefined,
    subject: {
      sourceIdentity: undefined,
      sourceIp: ip('10.0.0.1'),
      destinationIp: ip('10.0.0.2'),
      destinationPort: 80,
    },
    traffic: {
      reporter: 'destination',
      source: undefined,
      sourceIdentity: undefined,
      destination: local,
      destinationIdentity: undefined,
      service: undefined,
      isMutualTls: false,
    },
  });
}

describe('PolicyGate', () => {
  it('denies with the code of the reason', async () => {
    applyPolicy(policy('default/deny'));
    await expect(gate.admit(open(listing()))).rejects.toMatchObject({ code: 'WEFT1402' });
    applyPolicy(policy('default/deny', { action: 'Allow', rules: [] }));
    await expect(gate.admit(open(listing()))).rejects.toMatchObject({ code: 'WEFT1403' });
  });

  it('names the ALLOW policies of which none matched, without those that only try', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f'])
      applyPolicy(policy(`default/${name}`, { action: 'Allow', rules: [] }));
    applyPolicy(policy('default/0', { action: 'Allow', rules: [], dryRun: true }));
    await expect(gate.admit(open(listing()))).rejects.toThrow(
      /: allow policies exist, but none allowed: default\/a, .*default\/e and 1 more$/,
    );
  });

  it('waits for a listed policy and then obeys it', async () => {
    applyWorkload(listing('default/late'));
    const admitted = gate.admit(open(listing('default/late')));
    applyPolicy(selected('late', { rules: [] }));
    await admitted;
  });

  it('denies when a listed policy does not come within five seconds', async () => {
    applyWorkload(listing('default/never'));
    const admitted = expect(gate.admit(open(listing('default/never')))).rejects.toMatchObject({
      code: 'WEFT1404',
    });
    await jest.advanceTimersByTimeAsync(5_000);
    await admitted;
  });

  it('decides without policies that are not known when so configured, at once and later', async () => {
    gate.close();
    gate = policyGate('ignore');
    applyWorkload(listing('default/never'));
    await gate.admit(open(listing('default/never')));
    applyPolicy(policy('default/other', { rules: [] }));
    await jest.advanceTimersByTimeAsync(10_000);
    expect(cuts).toEqual([]);
    applyPolicy(selected('never'));
    expect(cuts).toEqual([expect.stringContaining('explicitly denied by: default/never')]);
  });

  it('denies at once by a known policy, whatever else is unknown', async () => {
    applyPolicy(selected('known'));
    await expect(gate.admit(open(listing('default/never', 'default/known')))).rejects.toMatchObject({
      code: 'WEFT1402',
    });
  });

  it('looks at open connections again when policies change, or what their workload lists', async () => {
    applyWorkload(listing());
    await gate.admit(open(listing()));
    applyPolicy(selected('known'));
    expect(cuts).toEqual([]);
    applyWorkload(listing('default/known'));
    expect(cuts).toEqual(['connection closed due to policy rejection: explicitly denied by: default/known']);
  });

  it('gives an open connection five seconds when its workload lists an unknown policy', async () => {
    applyWorkload(listing());
    await gate.admit(open(listing()));
    applyWorkload(listing('default/unknown'));
    await jest.advanceTimersByTimeAsync(4_900);
    expect(cuts).toEqual([]);
    await jest.advanceTimersByTimeAsync(200);
    expect(cuts).toEqual(['connection closed due to policy rejection: policy default/unknown is not known']);
  });

  it('forgets that a policy was missing once it has come', async () => {
    applyWorkload(listing());
    await gate.admit(open(listing()));
    applyWorkload(listing('default/late'));
    await jest.advanceTimersByTimeAsync(2_000);
    applyPolicy(selected('late', { rules: [] }));
    await jest.advanceTimersByTimeAsync(10_000);
    expect(cuts).toEqual([]);
  });

  it('lets others work while it looks at many connections, and misses no change meanwhile', async () => {
    applyWorkload(listing());
    for (let id = 1; id <= 5; id++) open(listing(), id);
    onCut = () => jest.advanceTimersByTime(1);
    applyPolicy(policy('default/deny'));
    expect(cuts).toHaveLength(2);
    onCut = () => undefined;
    applyPolicy(policy('default/other'));
    await jest.advanceTimersByTimeAsync(10);
    expect(cuts).toHaveLength(5);
  });

  it('cuts a connection that it can not judge, and goes on with the others', async () => {
    applyWorkload(listing());
    const broken = open(listing(), 1);
    Object.defineProperty(broken, 'subject', {
      get: () => {
        throw new Error('no subject');
      },
    });
    open(listing(), 2);
    applyPolicy(policy('default/deny'));
    expect(cuts).toEqual([
      expect.stringContaining('no subject'),
      expect.stringContaining('explicitly denied'),
    ]);
  });

  it('ignores a dry-run policy', async () => {
    applyPolicy(policy('default/trial', { dryRun: true }));
    await gate.admit(open(listing()));
    expect(cuts).toEqual([]);
  });
});
