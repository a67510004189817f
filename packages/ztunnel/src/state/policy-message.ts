import { istio } from '@weft/api/workload';
import { WeftError } from '@weft/telemetry';
import { Cidr } from './ip-address.ts';
import type { Match, Policy, PolicyKey, ServiceAccountMatch, StringMatch } from './policy.ts';

const { Action, Scope } = istio.security;

/**
 * The record of an `istio.security.Authorization`. Throws WEFT1401 with the field for one that can't be
 * enforced as written: dropping the part that makes no sense would change what the rest of it means.
 */
export function policyFromMessage(message: istio.security.Authorization): Policy {
  const { name, namespace } = message;
  const fail = (field: string, why: string): never => {
    throw new WeftError('WEFT1401', `policy ${namespace}/${name}: ${field}: ${why}`);
  };
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
          match(m, `rules[${r}].clauses[${c}].matches[${i}]`, fail),
        ),
      })),
    })),
  };
}

type Fail = (field: string, why: string) => never;

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

function match(message: istio.security.Match.$Properties, path: string, fail: Fail): Match {
  if ((message.extensions?.length ?? 0) > 0) fail(`${path}.extensions`, 'no extension is known');
  const strings = (
    field: string,
    list: readonly istio.security.StringMatch.$Properties[] | null | undefined,
  ) => (list ?? []).map((m, i) => stringMatch(m, `${path}.${field}[${i}]`, fail));
  const cidrs = (field: string, list: readonly istio.security.Address.$Properties[] | null | undefined) =>
    (list ?? []).map((a, i) => cidr(a, `${path}.${field}[${i}]`, fail));
  const ports = (field: string, list: readonly number[] | null | undefined) =>
    (list ?? []).map((p, i) => (p > 65_535 ? fail(`${path}.${field}[${i}]`, `no port: ${p}`) : p));
  return {
    namespaces: strings('namespaces', message.namespaces),
    notNamespaces: strings('not_namespaces', message.notNamespaces),
    principals: strings('principals', message.principals),
    notPrincipals: strings('not_principals', message.notPrincipals),
    serviceAccounts: (message.serviceAccounts ?? []).map(serviceAccount),
    notServiceAccounts: (message.notServiceAccounts ?? []).map(serviceAccount),
    sourceIps: cidrs('source_ips', message.sourceIps),
    notSourceIps: cidrs('not_source_ips', message.notSourceIps),
    destinationIps: cidrs('destination_ips', message.destinationIps),
    notDestinationIps: cidrs('not_destination_ips', message.notDestinationIps),
    destinationPorts: ports('destination_ports', message.destinationPorts),
    notDestinationPorts: ports('not_destination_ports', message.notDestinationPorts),
  };
}

function stringMatch(message: istio.security.StringMatch.$Properties, path: string, fail: Fail): StringMatch {
  for (const kind of ['exact', 'prefix', 'suffix'] as const) {
    const value = message[kind];
    if (value !== null && value !== undefined) return { kind, value };
  }
  if (message.presence !== null && message.presence !== undefined) return { kind: 'presence' };
  return fail(path, 'says no way to match');
}

function cidr(message: istio.security.Address.$Properties, path: string, fail: Fail): Cidr {
  const bytes = message.address ?? new Uint8Array();
  const length = message.length ?? 0;
  if (bytes.length !== 4 && bytes.length !== 16) fail(path, `an address has ${bytes.length} bytes`);
  if (length > 8 * bytes.length) fail(path, `prefix length ${length}`);
  return new Cidr(bytes, length);
}

function serviceAccount(message: istio.security.ServiceAccountMatch.$Properties): ServiceAccountMatch {
  return { namespace: message.namespace ?? '', serviceAccount: message.serviceAccount ?? '' };
}
