import { WeftError, describeError, type Logger } from '@weft/telemetry';
import { TimeSlice } from '@weft/xds';
import { STATE_WAIT_MS } from './wait-for.ts';
import type { ConnectionTable, OpenConnection } from './connection-table.ts';
import { authorize } from '../decide/rbac.ts';
import type { MeshState, StateChange } from '../state/mesh-state.ts';
import type { Policy } from '../state/policy.ts';

/** A workload may have hundreds; a line of the log names these. */
const MAX_NAMED_POLICIES = 5;

/**
 * A policy that a workload lists but nobody has sent may be the one that denies: `deny` holds new connections for it
 * and then refuses them, `ignore` decides without it, as Istio's ztunnel does.
 */
export type UnknownPolicy = 'deny' | 'ignore';

export interface PolicyGateOptions {
  readonly state: MeshState;
  readonly connections: ConnectionTable;
  readonly logger: Logger;
  /** AUTHZ_POLICY_INFO_LOGGING. */
  readonly logAtInfo: boolean;
  readonly unknownPolicy: UnknownPolicy;
  readonly cut: (connection: OpenConnection, why: string) => void;
}

/** A verdict that may have to wait for a policy that the workload lists but nobody has sent. */
type GateVerdict =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly error: WeftError }
  | { readonly kind: 'unknown'; readonly policy: string };

/**
 * Holds inbound connections to the policies in force, at their start and as long as they are open. Unless configured
 * otherwise, a policy that is listed but unknown denies once it has been missing for five seconds.
 */
export class PolicyGate {
  private readonly options: PolicyGateOptions;
  private readonly stop: () => void;
  private recheck: NodeJS.Timeout | undefined;
  /** Whose connections are to be examined again; a change that comes during a round makes another. */
  private stale: 'all' | Set<string> = new Set();
  private isSweeping = false;
  private isClosed = false;

  constructor(options: PolicyGateOptions) {
    this.options = options;
    this.stop = options.state.onChange((change) => this.onChange(change));
  }

  /** Resolves when the connection may go on. @throws WEFT1402, WEFT1403, WEFT1404 or WEFT1406 */
  async admit(connection: OpenConnection): Promise<void> {
    const { state, connections } = this.options;
    const verdict = this.evaluate(connection);
    if (verdict.kind === 'allow') return;
    if (verdict.kind === 'deny') throw verdict.error;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: WeftError): void => {
        clearTimeout(timer);
        stop();
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => settle(missing(verdict.policy)), STATE_WAIT_MS);
      const stop = state.onChange(() => {
        // Closed meanwhile, by its client or its pod: nobody waits for the answer.
        if (!connections.has(connection.id)) return settle();
        const next = this.evaluate(connection);
        if (next.kind === 'allow') settle();
        if (next.kind === 'deny') settle(next.error);
      });
    });
  }

  close(): void {
    this.isClosed = true;
    this.stop();
    clearTimeout(this.recheck);
  }

  private onChange({ policies, workloads }: StateChange): void {
    if (!policies && workloads.length === 0) return;
    if (policies) this.stale = 'all';
    if (this.stale !== 'all') for (const { uid } of workloads) this.stale.add(uid);
    if (!this.isSweeping) void this.sweep();
  }

  /** Goes through the open connections; with many, data threads get their answers in between. */
  private async sweep(): Promise<void> {
    this.isSweeping = true;
    const slice = new TimeSlice();
    while (this.stale === 'all' || this.stale.size > 0) {
      const stale = this.stale;
      this.stale = new Set();
      for (const connection of this.options.connections.all()) {
        if (stale === 'all' || stale.has(connection.local.uid)) this.enforceOrCut(connection);
        if (slice.isOver()) await slice.next();
        if (this.isClosed) return;
      }
    }
    this.isSweeping = false;
  }

  /** Who can't be judged must not go on, and must not keep others from being judged. */
  private enforceOrCut(connection: OpenConnection): void {
    try {
      this.enforce(connection);
    } catch (error) {
      this.options.cut(connection, describeError(error));
    }
  }

  private enforce(connection: OpenConnection): void {
    const verdict = this.evaluate(connection);
    if (verdict.kind === 'allow') connection.policyMissingSinceMs = undefined;
    if (verdict.kind === 'deny') this.options.cut(connection, verdict.error.message);
    if (verdict.kind !== 'unknown') return;
    const now = performance.now();
    connection.policyMissingSinceMs ??= now;
    const leftMs = connection.policyMissingSinceMs + STATE_WAIT_MS - now;
    if (leftMs <= 0) {
      this.options.cut(connection, missing(verdict.policy).message);
      return;
    }
    this.recheck ??= setTimeout(() => {
      this.recheck = undefined;
      for (const c of this.options.connections.all()) {
        if (c.policyMissingSinceMs !== undefined) this.enforce(c);
      }
    }, leftMs + 1);
  }

  private evaluate(connection: OpenConnection): GateVerdict {
    const { state, logger, logAtInfo, unknownPolicy } = this.options;
    const { subject } = connection;
    if (subject === undefined) return { kind: 'allow' };
    // The workload as it is now: its list of policies may have changed since the connection was accepted.
    const workload = state.workloads.workload(connection.local.uid) ?? connection.local;
    const { policies, unknown } = state.policies.candidates(workload);
    const { verdict, dryRun } = authorize(policies, subject);
    const level = logAtInfo ? 'info' : 'debug';
    for (const { policy, action } of dryRun) logger[level]('dry-run policy matched', { policy, action });
    if (verdict.kind === 'deny') {
      const why =
        verdict.policy !== undefined
          ? `explicitly denied by: ${verdict.policy}`
          : `allow policies exist, but none allowed: ${namesOf(policies.filter(isEnforcedAllow))}`;
      logger[level]('policy denied', { why, source: subject.sourceIdentity ?? subject.sourceIp });
      return {
        kind: 'deny',
        error: new WeftError(verdict.code, `connection closed due to policy rejection: ${why}`),
      };
    }
    const [policy] = unknown;
    return policy === undefined || unknownPolicy === 'ignore'
      ? { kind: 'allow' }
      : { kind: 'unknown', policy };
  }
}

function isEnforcedAllow({ action, dryRun }: Policy): boolean {
  return action === 'Allow' && !dryRun;
}

function namesOf(policies: readonly Policy[]): string {
  const names = policies.slice(0, MAX_NAMED_POLICIES).map(({ key }) => key);
  const more = policies.length - names.length;
  return names.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function missing(policy: string): WeftError {
  return new WeftError(
    'WEFT1404',
    `connection closed due to policy rejection: policy ${policy} is not known`,
  );
}
