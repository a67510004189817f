import {
  type Collection,
  type Fetch,
  type Graph,
  type Index,
  type Labels,
  labelKeys,
  selectorKey,
  selects,
} from '@weft/collections';
import type {
  AuthorizationPolicySpec,
  PeerAuthenticationSpec,
  PolicyObject,
} from '../sources/policy-objects.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { type ConvertedPolicy, convertAuthorizationPolicy } from './authorization-policies.ts';
import type { Mesh } from './mesh.ts';
import { expandTrustDomains, trustDomains } from './trust-domain-aliases.ts';
import {
  convertPeerAuthentication,
  derivedPolicyNames,
  oldest,
  peerAuthenticationSelector,
  staticStrictPolicy,
} from './peer-authentications.ts';
import { type EncodedResource, authorizationResource, named, sameResource } from './resources.ts';

/** A policy that workloads list because it selects them. */
interface SelectingPolicy {
  readonly key: string;
  readonly selector: Labels;
  /** A namespace, or {@link EVERYWHERE}. */
  readonly scope: string;
}

/** What decides which policies a workload lists. */
export type AttachmentUses = {
  readonly policiesBySelector: Index<SelectingPolicy>;
  readonly selectingPeerAuthentications: Index<PolicyObject<PeerAuthenticationSpec>>;
  readonly namespacePeerAuthentications: Index<PolicyObject<PeerAuthenticationSpec>>;
};

export interface PolicyGraph {
  /** By `namespace/name` of the AuthorizationPolicy. */
  readonly policies: Collection<ConvertedPolicy>;
  /** Before that, with the mesh's trust domains alike. */
  readonly authorizationPolicies: Collection<PolicyObject<AuthorizationPolicySpec>>;
  /** Converted from what users wrote. Of equal names the first collection's counts. */
  readonly resources: readonly Collection<EncodedResource>[];
  readonly attachment: AttachmentUses;
}

/** In the scope of every namespace: the selectors of policies in the root namespace. */
const EVERYWHERE = '*';

export function createPolicyGraph(
  graph: Graph,
  sources: Sources,
  o: {
    readonly mesh: Collection<Mesh>;
    readonly defaultMesh: Mesh;
    readonly sendDryRun: boolean;
  },
): PolicyGraph {
  const { mesh, defaultMesh } = o;
  const authorizationPolicies = graph.map('meshAuthorizationPolicies', {
    from: sources.authorizationPolicies,
    uses: { mesh },
    transform: (policy, fetch) =>
      expandTrustDomains(policy, trustDomains(fetch.mesh.get(MESH_KEY) ?? defaultMesh)),
  });
  const policies = graph.map('policies', {
    from: authorizationPolicies,
    uses: { mesh },
    transform: (policy, fetch) =>
      convertAuthorizationPolicy(policy, (fetch.mesh.get(MESH_KEY) ?? defaultMesh).rootNamespace, o),
  });
  // Apart from the rules, so that editing a rule doesn't touch the workloads that the policy selects.
  const policySelectors = graph.map('policySelectors', {
    from: policies,
    transform: (policy, _fetch, key): SelectingPolicy | undefined => {
      if (policy.kind !== 'enforced' || policy.selector === undefined) return undefined;
      const [namespace = ''] = key.split('/');
      return { key, selector: policy.selector, scope: policy.everywhere ? EVERYWHERE : namespace };
    },
  });
  const policiesBySelector = policySelectors.index('selector', ({ scope, selector }) => [
    selectorKey(scope, selector),
  ]);
  const { peerAuthentications } = sources;
  const selectingPeerAuthentications = peerAuthentications.index('selector', (peer) => {
    const selector = peerAuthenticationSelector(peer);
    return selector === undefined ? [] : [selectorKey(peer.namespace, selector)];
  });
  const namespacePeerAuthentications = peerAuthentications.index('namespace', (peer) =>
    peerAuthenticationSelector(peer) === undefined ? [peer.namespace] : [],
  );
  const userPolicies = graph.map('userPolicies', {
    from: policies,
    equal: sameResource,
    transform: (policy) =>
      policy.kind === 'enforced' ? authorizationResource(policy.authorization) : undefined,
  });
  const peerPolicies = graph.flatMap('peerPolicies', {
    from: peerAuthentications,
    uses: { mesh, peers: namespacePeerAuthentications },
    equal: sameResource,
    transform: (workload, fetch) => {
      const { rootNamespace } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
      if (peerAuthenticationSelector(workload) === undefined || workload.namespace === rootNamespace)
        return [];
      const converted = convertPeerAuthentication({
        workload,
        namespace: oldest(fetch.peers.lookup(workload.namespace)),
        root: oldest(fetch.peers.lookup(rootNamespace)),
      });
      return converted === undefined ? [] : [named(authorizationResource(converted))];
    },
  });
  const staticPolicies = graph.flatMap('staticPolicies', {
    from: mesh,
    uses: { peerAuthentications },
    equal: sameResource,
    transform: ({ rootNamespace }, fetch) =>
      fetch.peerAuthentications.all().length === 0
        ? []
        : [named(authorizationResource(staticStrictPolicy(rootNamespace)))],
  });
  return {
    policies,
    authorizationPolicies,
    resources: [userPolicies, peerPolicies, staticPolicies],
    attachment: { policiesBySelector, selectingPeerAuthentications, namespacePeerAuthentications },
  };
}

/** Names of the policies that a workload lists, in that order: the users', then those of PeerAuthentications. */
export function attachedPolicies(
  { namespace, labels }: { readonly namespace: string; readonly labels: Labels },
  rootNamespace: string,
  fetch: Fetch<AttachmentUses>,
): readonly string[] {
  const ownKeys = labelKeys(namespace, labels);
  const attached = [...ownKeys, ...labelKeys(EVERYWHERE, labels)]
    .flatMap((at) => fetch.policiesBySelector.lookup(at))
    .filter(({ selector }) => selects(selector, labels))
    .map((policy) => policy.key);
  const selecting = ownKeys
    .flatMap((at) => fetch.selectingPeerAuthentications.lookup(at))
    .filter((peer) => selects(peerAuthenticationSelector(peer) ?? {}, labels));
  const levels = {
    // With a selector in the root namespace it has no meaning: not the mesh, and not a workload's own namespace.
    workload: namespace === rootNamespace ? undefined : oldest(selecting),
    namespace: oldest(fetch.namespacePeerAuthentications.lookup(namespace)),
    root: oldest(fetch.namespacePeerAuthentications.lookup(rootNamespace)),
  };
  return [...attached.sort(), ...derivedPolicyNames(levels, rootNamespace)];
}
