export interface CandidateName {
  readonly name: string;
  /** Set if the name was found by taking a search domain off the one that was asked for: what was left of it. */
  readonly stripped: string | undefined;
}

/**
 * The names that a client of a namespace may have meant, best first: the one it asked for, its expansions as a
 * Kubernetes service, and the same of what it may have typed before its resolver added a search domain.
 */
export function candidateNames(
  requested: string,
  { namespace, clusterDomain, searchDomains }: NameContext,
): readonly CandidateName[] {
  const found = new Map<string, CandidateName>();
  const consider = (name: string, stripped: string | undefined): void => {
    if (!found.has(name)) found.set(name, { name, stripped });
  };
  const expand = (name: string, stripped: string | undefined): void => {
    consider(name, stripped);
    for (const service of serviceNames(name, namespace, clusterDomain)) consider(service, stripped);
  };
  expand(requested, undefined);
  for (const domain of searchDomains) {
    const suffix = `.${domain}`;
    if (!requested.endsWith(suffix) || requested.length === suffix.length) continue;
    const stripped = requested.slice(0, -suffix.length);
    expand(stripped, stripped);
  }
  return [...found.values()];
}

export interface NameContext {
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly searchDomains: readonly string[];
}

/** What kubelet writes into the resolv.conf of a pod of this namespace. */
export function podSearchDomains(namespace: string, clusterDomain: string): readonly string[] {
  return [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
}

function serviceNames(name: string, namespace: string, clusterDomain: string): readonly string[] {
  const labels = name.split('.');
  const isService = labels.at(-1) === 'svc';
  const inCluster = `${name}.${clusterDomain}`;
  const inServices = `${name}.svc.${clusterDomain}`;
  const inNamespace = `${name}.${namespace}.svc.${clusterDomain}`;
  switch (labels.length) {
    case 1:
      return [inNamespace];
    case 2:
      return [inServices, inNamespace];
    case 3:
      return isService ? [inCluster, inServices] : [inServices];
    case 4:
      return isService ? [inCluster] : [];
    default:
      return [];
  }
}

/** The name itself and then the wildcards that cover it, closest first. */
export function* withWildcards(name: string): Generator<string> {
  yield name;
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) yield `*${name.slice(dot)}`;
}
