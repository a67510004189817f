import { Annotation } from '@weft/api';
import type { Condition, KubernetesObject, UntypedObject } from '@weft/kubernetes';

/** AuthorizationPolicy, PeerAuthentication and RequestAuthentication as users write them (security.istio.io/v1). */

export interface PolicySelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
}

export interface TargetReference {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

type Strings = readonly string[];

export interface PolicySource {
  readonly principals?: Strings;
  readonly notPrincipals?: Strings;
  readonly requestPrincipals?: Strings;
  readonly notRequestPrincipals?: Strings;
  readonly namespaces?: Strings;
  readonly notNamespaces?: Strings;
  readonly serviceAccounts?: Strings;
  readonly notServiceAccounts?: Strings;
  readonly trustDomains?: Strings;
  readonly notTrustDomains?: Strings;
  readonly ipBlocks?: Strings;
  readonly notIpBlocks?: Strings;
  readonly remoteIpBlocks?: Strings;
  readonly notRemoteIpBlocks?: Strings;
}

export interface PolicyOperation {
  readonly hosts?: Strings;
  readonly notHosts?: Strings;
  readonly ports?: Strings;
  readonly notPorts?: Strings;
  readonly methods?: Strings;
  readonly notMethods?: Strings;
  readonly paths?: Strings;
  readonly notPaths?: Strings;
}

export interface PolicyCondition {
  readonly key: string;
  readonly values?: Strings;
  readonly notValues?: Strings;
}

export interface PolicyRule {
  readonly from?: readonly { readonly source?: PolicySource }[];
  readonly to?: readonly { readonly operation?: PolicyOperation }[];
  readonly when?: readonly PolicyCondition[];
}

export type PolicyAction = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

export interface AuthorizationPolicySpec {
  readonly action?: PolicyAction;
  readonly selector?: PolicySelector;
  readonly targetRef?: TargetReference;
  readonly targetRefs?: readonly TargetReference[];
  readonly rules?: readonly PolicyRule[];
  readonly provider?: { readonly name?: string };
}

/** Where a rule's keys are fetched, unless it has them in itself. */
export function keySetUri({ jwks, jwksUri, jwks_uri: oldSpelling }: JwtRule): string | undefined {
  return jwks ? undefined : jwksUri || oldSpelling || undefined;
}

/** Evaluated and reported, never enforced. */
export function isDryRun({ annotations }: Pick<PolicyObject<unknown>, 'annotations'>): boolean {
  return annotations[Annotation.dryRun] === 'true';
}

export type MtlsMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

export interface PeerAuthenticationSpec {
  readonly selector?: PolicySelector;
  readonly mtls?: { readonly mode?: MtlsMode };
  readonly portLevelMtls?: Readonly<Record<string, { readonly mode?: MtlsMode }>>;
}

export interface JwtRule {
  readonly issuer?: string;
  readonly audiences?: Strings;
  readonly jwks?: string;
  readonly jwksUri?: string;
  /** The same, as it was spelt at first. */
  readonly jwks_uri?: string;
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams?: Strings;
  readonly fromCookies?: Strings;
  readonly forwardOriginalToken?: boolean;
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly { readonly header: string; readonly claim: string }[];
  /** Beside `scope` and `permission`. */
  readonly spaceDelimitedClaims?: Strings;
  /** How long fetching `jwksUri` may take, as in `5s`. */
  readonly timeout?: string;
  /** `REQUIRED`: without a valid token of this rule, a request is refused. */
  readonly presence?: 'OPTIONAL' | 'REQUIRED';
}

export interface RequestAuthenticationSpec {
  readonly selector?: PolicySelector;
  readonly targetRef?: TargetReference;
  readonly targetRefs?: readonly TargetReference[];
  readonly jwtRules?: readonly JwtRule[];
}

/** An object of ours by its parts; the CRD's schema has vouched for the shape of `spec`. */
export interface PolicyObject<Spec> {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** RFC 3339, so that text order is time order. */
  readonly createdAt: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Spec;
  /** As read back from status, to see whether ours has to be written. */
  readonly conditions: readonly Condition[];
}

export function policyObject<Spec>({
  metadata,
  spec,
  status,
}: UntypedObject & KubernetesObject): PolicyObject<Spec> {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    generation: metadata.generation ?? 0,
    createdAt: metadata.creationTimestamp ?? '',
    annotations: metadata.annotations ?? {},
    spec: (spec ?? {}) as Spec, // validated by the CRD's schema, whose fields the types above repeat
    conditions: conditionsOf(status),
  };
}

function conditionsOf(status: unknown): readonly Condition[] {
  if (typeof status !== 'object' || status === null || !('conditions' in status)) return [];
  // Status is written by controllers through the same schema.
  return Array.isArray(status.conditions) ? (status.conditions as readonly Condition[]) : [];
}

export function selectorLabels(selector: PolicySelector | undefined): Readonly<Record<string, string>> {
  return selector?.matchLabels ?? {};
}
