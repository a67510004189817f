import { istio } from '@weft/api/workload';
import { WeftError } from '@weft/telemetry';
import { Cidr } from './ip-address.ts';
import type { Match, Policy, PolicyKey, ServiceAccountMatch, StringMatch } from './policy.ts';

const { Action, Scope } = istio.security;

/**
 * The record of an `istio.security.Authorization`. As upstream, conditions that make no sense are left out, which may
 * leave a match without any, and that never matches: a refused policy would protect nothing at all.
 * @param onLeftOut told of each such condition
 * @throws WEFT1401 with the field, if not even the kind of the policy is known
 */
export function policyFromMessage(
  message: istio.security.Authorization,
  onLeftOut: (left: WeftError) => void = () => undefined,
): Policy {
  const { name, namespace } = message;
  const fail = (field: string, why: string): never => {
    throw new WeftError('WEFT1401', `policy ${namespace}/${name}: ${field}: ${why}`);
  };
  const leaveOut: LeaveOut = (field, why) =>
    onLeftOut(new WeftError('WEFT1407', `policy ${namespace}/${name}: ${field}: ${why}`));
  if (name === '') fail('name', 'is empty');
  return {
    key: `${namespace}/${name}` as PolicyKey, // the one place that makes them from parts
    name,
    namespace,
    scope: scope(message.scope, fail),
    action: action(message.action, fail),
    dryRun: message.dryRun,
    rules: message.rules.map((rule, r) => ({
      clauses: (rule.clauses ?? []).map((clause, c) => ({
        matches: (clause.matches ?? []).map((m, i) =>
          match(m, `rules[${r}].clauses[${c}].matches[${i}]`, leaveOut),
        ),
      })),
    })),
  };
}

type Fail = (field: string, why: string) => never;
type LeaveOut = (field: string, why: string) => void;

function scope(value: number, fail: Fail): Policy['scope'] {
  if (value === Scope.GLOBAL) return 'Global';
  if (value === Scope.NAMESPACE) return 'Namespace';
  if (value === Scope.WORKLOAD_SELECTOR) return 'WorkloadSelector';
  return fail('scope', `unknown value ${value}`);
}

function action(value: number, fail: Fail): Policy['action'] {
  if (value === Action.ALLOW) return 'Allow';
  if (value === Action.DENY) return 'Deny';
  return fail('action', `unknown value ${value}`);
}

function match(message: istio.security.Match.$Properties, path: string, leaveOut: LeaveOut): Match {
  const parsed = <From, To>(
    field: string,
    list: readonly From[] | null | undefined,
    parse: (value: From) => To | string,
  ): To[] =>
    (list ?? []).flatMap((value, i) => {
      const found = parse(value);
      if (typeof found !== 'string') return [found];
      leaveOut(`${path}.${field}[${i}]`, found);
      return [];
    });
  for (const { name } of message.extensions ?? []) leaveOut(`${path}.extensions`, `${name} is not known`);
  return {
    namespaces: parsed('namespaces', message.namespaces, stringMatch),
    notNamespaces: parsed('not_namespaces', message.notNamespaces, stringMatch),
    principals: parsed('principals', message.principals, stringMatch),
    notPrincipals: parsed('not_principals', message.notPrincipals, stringMatch),
    serviceAccounts: (message.serviceAccounts ?? []).map(serviceAccount),
    notServiceAccounts: (message.notServiceAccounts ?? []).map(serviceAccount),
    sourceIps: parsed('source_ips', message.sourceIps, cidr),
    notSourceIps: parsed('not_source_ips', message.notSourceIps, cidr),
    destinationIps: parsed('destination_ips', message.destinationIps, cidr),
    notDestinationIps: parsed('not_destination_ips', message.notDestinationIps, cidr),
    destinationPorts: (message.destinationPorts ?? []).map(port),
    notDestinationPorts: (message.notDestinationPorts ?? []).map(port),
  };
}

/** The condition, or what is wrong with it. */
function stringMatch(message: istio.security.StringMatch.$Properties): StringMatch | string {
  for (const kind of ['exact', 'prefix', 'suffix'] as const) {
    const value = message[kind];
    if (value !== null && value !== undefined) return { kind, value };
  }
  return message.presence !== null && message.presence !== undefined
    ? { kind: 'presence' }
    : 'says no way to match';
}

/** As above. */
function cidr(message: istio.security.Address.$Properties): Cidr | string {
  const bytes = message.address ?? new Uint8Array();
  const length = message.length ?? 0;
  if (bytes.length !== 4 && bytes.length !== 16) return `an address has ${bytes.length} bytes`;
  return length > 8 * bytes.length ? `prefix length ${length}` : new Cidr(bytes, length);
}

/** Upstream keeps the lower 16 bits. */
function port(value: number): number {
  return value & 0xffff;
}

function serviceAccount(message: istio.security.ServiceAccountMatch.$Properties): ServiceAccountMatch {
  return { namespace: message.namespace ?? '', serviceAccount: message.serviceAccount ?? '' };
}
