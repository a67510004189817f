import type { Labels } from '@weft/collections';
import type { Condition, ConfigMap, KubernetesObject, LabelSelector, UntypedObject } from '@weft/kubernetes';

/** Gateway API objects as users write them, with the fields that the mesh reads; their CRDs vouch for the shapes. */

export interface GatewayListener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
  readonly tls?: unknown;
  readonly allowedRoutes?: {
    readonly namespaces?: { readonly from?: string; readonly selector?: LabelSelector };
    readonly kinds?: readonly { readonly group?: string; readonly kind: string }[];
  };
}

export interface GatewayAddressValue {
  readonly type?: string;
  readonly value?: string;
}

export interface GatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners?: readonly GatewayListener[];
  readonly addresses?: readonly GatewayAddressValue[];
  readonly tls?: unknown;
  readonly infrastructure?: {
    readonly labels?: Labels;
    readonly annotations?: Labels;
    readonly parametersRef?: { readonly group: string; readonly kind: string; readonly name: string };
  };
}

export interface GatewayStatus {
  readonly addresses?: readonly GatewayAddressValue[];
  readonly conditions?: readonly Condition[];
  readonly listeners?: readonly unknown[];
}

/** What all of these objects have, whatever their kind. */
export interface ObjectFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** RFC 3339, so that text order is time order. */
  readonly createdAt: string;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface GatewayFacts extends ObjectFacts {
  readonly spec: GatewaySpec;
  readonly status: GatewayStatus;
}

export interface GatewayClassFacts extends ObjectFacts {
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface BackendReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly port?: number;
  readonly weight?: number;
  readonly filters?: readonly RouteFilter[];
}

export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set?: readonly HeaderValue[];
  readonly add?: readonly HeaderValue[];
  readonly remove?: readonly string[];
}

export interface PathModifier {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch';
  readonly replaceFullPath?: string;
  readonly replacePrefixMatch?: string;
}

export interface RouteFilter {
  readonly type: string;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestRedirect?: {
    readonly scheme?: string;
    readonly hostname?: string;
    readonly path?: PathModifier;
    readonly port?: number;
    readonly statusCode?: number;
  };
  readonly urlRewrite?: { readonly hostname?: string; readonly path?: PathModifier };
  readonly requestMirror?: {
    readonly backendRef: BackendReference;
    readonly percent?: number;
    readonly fraction?: { readonly numerator: number; readonly denominator?: number };
  };
  readonly cors?: {
    readonly allowOrigins?: readonly string[];
    readonly allowMethods?: readonly string[];
    readonly allowHeaders?: readonly string[];
    readonly exposeHeaders?: readonly string[];
    readonly allowCredentials?: boolean;
    readonly maxAge?: number;
  };
}

export interface ValueMatch {
  readonly type?: 'Exact' | 'RegularExpression';
  readonly name: string;
  readonly value: string;
}

export interface HttpRouteMatch {
  readonly path?: { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value?: string };
  readonly headers?: readonly ValueMatch[];
  readonly queryParams?: readonly ValueMatch[];
  readonly method?: string;
}

export interface GrpcRouteMatch {
  readonly method?: {
    readonly type?: 'Exact' | 'RegularExpression';
    readonly service?: string;
    readonly method?: string;
  };
  readonly headers?: readonly ValueMatch[];
}

export interface RouteRule<Match> {
  readonly name?: string;
  readonly matches?: readonly Match[];
  readonly filters?: readonly RouteFilter[];
  readonly backendRefs?: readonly BackendReference[];
  readonly timeouts?: { readonly request?: string; readonly backendRequest?: string };
  readonly retry?: {
    readonly codes?: readonly number[];
    readonly attempts?: number;
    readonly backoff?: string;
  };
  /** Of the experimental channel; what it says is not read. */
  readonly sessionPersistence?: unknown;
}

export interface RouteFacts<Match> extends ObjectFacts {
  readonly parentRefs: readonly ParentReference[];
  readonly hostnames: readonly string[];
  readonly rules: readonly RouteRule<Match>[];
  readonly parents: readonly RouteParentStatus[];
}

/** Kinds of which only the parents are read, to say at each that nothing comes of the route. */
export type UnservedRouteKind = 'TCPRoute' | 'TLSRoute' | 'UDPRoute';
export type UnservedRouteFacts = Omit<RouteFacts<never>, 'rules'> & { readonly kind: UnservedRouteKind };

/** Of which only the targets are read, to say at each that nothing comes of the policy. */
export interface BackendTlsPolicyFacts extends ObjectFacts {
  readonly targetRefs: readonly { readonly group: string; readonly kind: string; readonly name: string }[];
  /** `status.ancestors`, in the form of routes' parents. */
  readonly parents: readonly RouteParentStatus[];
}

export interface ReferenceGrantFacts extends ObjectFacts {
  readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

export type HttpRouteFacts = RouteFacts<HttpRouteMatch> & { readonly kind: 'HTTPRoute' };
export type GrpcRouteFacts = RouteFacts<GrpcRouteMatch> & { readonly kind: 'GRPCRoute' };
export type AnyRouteFacts = HttpRouteFacts | GrpcRouteFacts;

export interface ConfigMapFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly data: Readonly<Record<string, string>>;
}

/** A ConfigMap that a Gateway refers to, once the API server has been asked. */
export type ParameterConfigMap =
  | ({ readonly kind: 'present' } & ConfigMapFacts)
  | { readonly kind: 'absent'; readonly why: string };

export function configMapFacts({ metadata, data = {} }: ConfigMap): ConfigMapFacts {
  const { namespace = '', name = '', labels = {} } = metadata;
  return { namespace, name, labels, data };
}

export function gatewayFacts(object: UntypedObject & KubernetesObject): GatewayFacts {
  return {
    ...objectFacts(object),
    spec: (object.spec ?? { gatewayClassName: '' }) as GatewaySpec, // validated by the CRD's schema
    status: (object.status ?? {}) as GatewayStatus, // written by controllers through the same schema
  };
}

export function gatewayClassFacts(object: UntypedObject & KubernetesObject): GatewayClassFacts {
  const spec = (object.spec ?? {}) as { readonly controllerName?: string }; // validated by the CRD's schema
  const status = (object.status ?? {}) as { readonly conditions?: readonly Condition[] }; // likewise
  return {
    ...objectFacts(object),
    controllerName: spec.controllerName ?? '',
    conditions: status.conditions ?? [],
  };
}

export function httpRouteFacts(object: UntypedObject & KubernetesObject): HttpRouteFacts {
  return { kind: 'HTTPRoute', ...routeFacts<HttpRouteMatch>(object) };
}

export function grpcRouteFacts(object: UntypedObject & KubernetesObject): GrpcRouteFacts {
  return { kind: 'GRPCRoute', ...routeFacts<GrpcRouteMatch>(object) };
}

export function unservedRouteFacts(
  kind: UnservedRouteKind,
): (object: UntypedObject & KubernetesObject) => UnservedRouteFacts {
  return (object) => {
    const { rules: _rules, ...facts } = routeFacts<never>(object);
    return { kind, ...facts };
  };
}

export function backendTlsPolicyFacts(object: UntypedObject & KubernetesObject): BackendTlsPolicyFacts {
  const spec = (object.spec ?? {}) as Partial<BackendTlsPolicyFacts>; // validated by the CRD's schema
  const { ancestors = [] } = (object.status ?? {}) as {
    readonly ancestors?: readonly (Omit<RouteParentStatus, 'parentRef'> & {
      readonly ancestorRef: ParentReference;
    })[];
  }; // likewise
  return {
    ...objectFacts(object),
    targetRefs: spec.targetRefs ?? [],
    parents: ancestors.map(({ ancestorRef, ...rest }) => ({ parentRef: ancestorRef, ...rest })),
  };
}

export function referenceGrantFacts(object: UntypedObject & KubernetesObject): ReferenceGrantFacts {
  const spec = (object.spec ?? {}) as Partial<ReferenceGrantFacts>; // validated by the CRD's schema
  return { ...objectFacts(object), from: spec.from ?? [], to: spec.to ?? [] };
}

function routeFacts<Match>(object: UntypedObject & KubernetesObject): RouteFacts<Match> {
  const spec = (object.spec ?? {}) as Partial<RouteFacts<Match>>; // validated by the CRD's schema
  const status = (object.status ?? {}) as { readonly parents?: readonly RouteParentStatus[] }; // likewise
  return {
    ...objectFacts(object),
    parentRefs: spec.parentRefs ?? [],
    hostnames: spec.hostnames ?? [],
    rules: spec.rules ?? [],
    parents: status.parents ?? [],
  };
}

function objectFacts({ metadata }: KubernetesObject): ObjectFacts {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    generation: metadata.generation ?? 0,
    createdAt: metadata.creationTimestamp ?? '',
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
  };
}
