import { WeftError } from '@weft/telemetry';
import type { KubernetesObject, UntypedObject } from '@weft/kubernetes';
import {
  type AuthorizationPolicySpec,
  type PeerAuthenticationSpec,
  type RequestAuthenticationSpec,
  policyObject,
} from '../sources/policy-objects.ts';
import { gatewayFacts, grpcRouteFacts, httpRouteFacts } from '../sources/gateway-objects.ts';
import { serviceEntryFacts, workloadEntryFacts } from '../sources/entries.ts';
import type { Verdict } from './field-errors.ts';
import { type KnownAccounts, unknownAccountWarnings } from './unknown-accounts.ts';
import { validateAuthorizationPolicy } from './validate-authorization-policy.ts';
import { validateGateway } from './validate-gateway.ts';
import { validatePeerAuthentication } from './validate-peer-authentication.ts';
import { validateRequestAuthentication } from './validate-request-authentication.ts';
import { validateRoute } from './validate-route.ts';
import { validateServiceEntry, validateWorkloadEntry } from './validate-service-entry.ts';

/** admission.k8s.io/v1, the fields we read. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly kind: string };
  readonly operation: string;
  readonly namespace?: string;
  readonly object?: (UntypedObject & KubernetesObject) | null;
}

export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: {
    readonly code: number;
    readonly reason: string;
    readonly message: string;
    readonly details: { readonly causes: readonly { reason: string; field: string; message: string }[] };
  };
  readonly warnings?: readonly string[];
}

export interface AdmissionContext {
  readonly rootNamespace: string;
  readonly clusterDomain: string;
  readonly accounts: KnownAccounts;
}

/** kubectl cuts warnings after this many characters anyway. */
const MAX_WARNING_LENGTH = 256;

/** Objects of kinds that the mesh doesn't validate are allowed: the configuration decides what comes here. */
export function admit(request: AdmissionRequest, context: AdmissionContext): AdmissionResponse {
  const { uid, operation, object } = request;
  if (operation === 'DELETE' || object === undefined || object === null) return { uid, allowed: true };
  // On creation the namespace may be in the request only.
  const { namespace = request.namespace ?? '' } = object.metadata;
  const { errors, warnings } = verdict(
    request.kind.kind,
    {
      ...object,
      metadata: { ...object.metadata, namespace },
    },
    context,
  );
  const shown =
    warnings.length === 0 ? {} : { warnings: warnings.map((w) => w.slice(0, MAX_WARNING_LENGTH)) };
  if (errors.length === 0) return { uid, allowed: true, ...shown };
  const message = errors.map(({ field, message: text }) => `${field}: ${text}`).join('; ');
  return {
    uid,
    allowed: false,
    status: {
      code: 422,
      reason: 'Invalid',
      message: `WEFT1810 ${message}`,
      details: { causes: errors.map((error) => ({ reason: 'FieldValueInvalid', ...error })) },
    },
    ...shown,
  };
}

function verdict(
  kind: string,
  object: UntypedObject,
  { rootNamespace, clusterDomain, accounts }: AdmissionContext,
): Verdict {
  switch (kind) {
    case 'AuthorizationPolicy': {
      const policy = policyObject<AuthorizationPolicySpec>(object);
      const { errors, warnings } = validateAuthorizationPolicy(policy, rootNamespace);
      return {
        errors,
        warnings: [...warnings, ...unknownAccountWarnings(policy.spec, policy.namespace, accounts)],
      };
    }
    case 'PeerAuthentication':
      return validatePeerAuthentication(policyObject<PeerAuthenticationSpec>(object), rootNamespace);
    case 'RequestAuthentication':
      return validateRequestAuthentication(policyObject<RequestAuthenticationSpec>(object), rootNamespace);
    case 'ServiceEntry':
      return validateServiceEntry(serviceEntryFacts(object), { rootNamespace, clusterDomain });
    case 'WorkloadEntry':
      return validateWorkloadEntry(workloadEntryFacts(object));
    case 'Gateway':
      return validateGateway(gatewayFacts(object));
    case 'HTTPRoute':
      return validateRoute(httpRouteFacts(object));
    case 'GRPCRoute':
      return validateRoute(grpcRouteFacts(object));
    default:
      return { errors: [], warnings: [] };
  }
}

/** @throws WEFT1811 */
export function parseAdmissionReview(body: string): AdmissionRequest {
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch (error) {
    throw new WeftError('WEFT1811', 'the body is not JSON', { cause: error });
  }
  const request = property(review, 'request');
  const kind = property(property(request, 'kind'), 'kind');
  if (typeof property(request, 'uid') !== 'string' || typeof kind !== 'string') {
    throw new WeftError('WEFT1811', 'the body is not an AdmissionReview with a request');
  }
  return request as AdmissionRequest; // what we rely on was checked; the rest is the API server's own contract
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name] // an object that has it
    : undefined;
}
