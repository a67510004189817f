import type { istio } from '@weft/api/workload';
import type { PolicyCondition, PolicyOperation, PolicySource } from '../sources/policy-objects.ts';
import { parseCidr } from './addresses.ts';

type StringMatch = istio.security.StringMatch.$Shape;
type Match = istio.security.Match.$Shape;

export interface ConvertedMatch {
  /** Without any property when nothing of the original can be enforced; ztunnel never matches that. */
  readonly match: Match;
  /** Names of the fields, or `when` keys, that were left out. */
  readonly unsupported: readonly string[];
}

/** Collects one Match, field by field; an absent or empty list adds nothing. */
class MatchBuilder {
  private readonly match: Record<string, readonly unknown[]> = {};
  private readonly unsupported: string[] = [];

  /** A value that doesn't convert makes the whole field unsupported: dropping just the value could allow more. */
  add<K extends keyof Match>(
    field: K,
    name: string,
    values: readonly string[] | undefined,
    convert: (value: string) => (Match[K] & readonly unknown[])[number] | undefined,
  ): this {
    if (values === undefined || values.length === 0) return this;
    const converted = values.map(convert);
    if (converted.includes(undefined)) this.unsupported.push(name);
    else this.match[field] = [...(this.match[field] ?? []), ...converted];
    return this;
  }

  refuse(fields: Readonly<Record<string, readonly string[] | undefined>>): this {
    for (const [name, values] of Object.entries(fields)) {
      if (values !== undefined && values.length > 0) this.unsupported.push(name);
    }
    return this;
  }

  build(): ConvertedMatch {
    return { match: this.match as Match, unsupported: this.unsupported }; // `add` ties each field to its type
  }
}

export function convertSource(source: PolicySource, policyNamespace: string): ConvertedMatch {
  const { requestPrincipals, notRequestPrincipals, remoteIpBlocks, notRemoteIpBlocks } = source;
  const builder = new MatchBuilder()
    .add('principals', 'principals', source.principals, stringMatch)
    .add('notPrincipals', 'notPrincipals', source.notPrincipals, stringMatch)
    .add('namespaces', 'namespaces', source.namespaces, stringMatch)
    .add('notNamespaces', 'notNamespaces', source.notNamespaces, stringMatch)
    .add('serviceAccounts', 'serviceAccounts', source.serviceAccounts, serviceAccountMatch(policyNamespace))
    .add(
      'notServiceAccounts',
      'notServiceAccounts',
      source.notServiceAccounts,
      serviceAccountMatch(policyNamespace),
    )
    .add('sourceIps', 'ipBlocks', source.ipBlocks, parseCidr)
    .add('notSourceIps', 'notIpBlocks', source.notIpBlocks, parseCidr)
    // A principal begins with its trust domain, and "none of these" adds up.
    .add('notPrincipals', 'notTrustDomains', source.notTrustDomains, trustDomainMatch)
    .refuse({ requestPrincipals, notRequestPrincipals, remoteIpBlocks, notRemoteIpBlocks });
  // "One of these principals and one of these trust domains" has no form: a field's values are alternatives.
  if ((source.principals ?? []).length === 0) {
    builder.add('principals', 'trustDomains', source.trustDomains, trustDomainMatch);
  } else {
    builder.refuse({ trustDomains: source.trustDomains });
  }
  return builder.build();
}

export function convertOperation(operation: PolicyOperation): ConvertedMatch {
  const { hosts, notHosts, methods, notMethods, paths, notPaths } = operation;
  return new MatchBuilder()
    .add('destinationPorts', 'ports', operation.ports, parsePort)
    .add('notDestinationPorts', 'notPorts', operation.notPorts, parsePort)
    .refuse({ hosts, notHosts, methods, notMethods, paths, notPaths })
    .build();
}

export function convertCondition({ key, values, notValues }: PolicyCondition): ConvertedMatch {
  const builder = new MatchBuilder();
  switch (key) {
    case 'source.ip':
      return builder
        .add('sourceIps', key, values, parseCidr)
        .add('notSourceIps', key, notValues, parseCidr)
        .build();
    case 'source.namespace':
      return builder
        .add('namespaces', key, values, stringMatch)
        .add('notNamespaces', key, notValues, stringMatch)
        .build();
    case 'source.principal':
      return builder
        .add('principals', key, values, stringMatch)
        .add('notPrincipals', key, notValues, stringMatch)
        .build();
    case 'destination.ip':
      return builder
        .add('destinationIps', key, values, parseCidr)
        .add('notDestinationIps', key, notValues, parseCidr)
        .build();
    case 'destination.port':
      return builder
        .add('destinationPorts', key, values, parsePort)
        .add('notDestinationPorts', key, notValues, parsePort)
        .build();
    default:
      return { match: {}, unsupported: [key] };
  }
}

/** `*` is "any, but there must be one". */
export function stringMatch(text: string): StringMatch {
  if (text === '*') return { presence: {} };
  if (text.startsWith('*')) return { suffix: text.slice(1) };
  if (text.endsWith('*')) return { prefix: text.slice(0, -1) };
  return { exact: text };
}

function trustDomainMatch(text: string): StringMatch | undefined {
  if (text === '*') return { presence: {} };
  if (text.startsWith('*')) return undefined;
  // Trust domains hold no slash, so the prefix of the domain is a prefix of the principal.
  return { prefix: text.endsWith('*') ? text.slice(0, -1) : `${text}/` };
}

/** `namespace/name`, or a name in the policy's own namespace. */
function serviceAccountMatch(
  policyNamespace: string,
): (text: string) => istio.security.ServiceAccountMatch.$Shape {
  return (text) => {
    const slash = text.indexOf('/');
    return slash < 0
      ? { namespace: policyNamespace, serviceAccount: text }
      : { namespace: text.slice(0, slash), serviceAccount: text.slice(slash + 1) };
  };
}

export function parsePort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}
