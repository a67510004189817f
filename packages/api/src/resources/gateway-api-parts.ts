/** Parts that several Gateway API resources share, smallest first. */
import { boolean, integer, list, map, object, oneOf, required, string } from './model.ts';

export const coreGroup = string({
  maxLength: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
  default: '',
});

export const gatewayGroup = string({
  maxLength: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
  default: 'gateway.networking.k8s.io',
});

export const apiGroup = string({
  maxLength: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

export const conditionType = string({
  maxLength: 316,
  pattern:
    '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
});

export const conditionReason = string({
  minLength: 1,
  maxLength: 1024,
  pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
});

export const corsOrigin = string({
  minLength: 1,
  maxLength: 253,
  pattern: '(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)',
});

export const hostname = string({
  minLength: 1,
  maxLength: 253,
  pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

export const addressType = string({
  minLength: 1,
  maxLength: 253,
  pattern:
    "^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
  default: 'IPAddress',
});

export const sectionName = string({
  minLength: 1,
  maxLength: 253,
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

export const controllerName = string({
  minLength: 1,
  maxLength: 253,
  pattern:
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
});

export const headerName = string({
  minLength: 1,
  maxLength: 256,
  pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$",
});

export const namespaceName = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
});

export const gatewayKind = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$',
  default: 'Gateway',
});

export const serviceKind = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$',
  default: 'Service',
});

export const apiKind = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$',
});

export const gatewayDuration = string({ pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' });

export const fraction = object({
  denominator: integer({ minimum: 1, format: 'int32', default: 100 }),
  numerator: required(integer({ minimum: 0, format: 'int32' })),
});

export const headerValue = object({
  name: required(headerName),
  value: required(string({ minLength: 1, maxLength: 4096 })),
});

export const headerValues = list(headerValue, { maxItems: 16, listType: 'map', listMapKeys: ['name'] });

export const extensionRef = object({
  group: required(apiGroup),
  kind: required(apiKind),
  name: required(string({ minLength: 1, maxLength: 253 })),
});

export const headerMatch = object({
  name: required(headerName),
  type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
  value: required(string({ minLength: 1, maxLength: 4096 })),
});

export const pathModifier = object({
  replaceFullPath: string({ maxLength: 1024 }),
  replacePrefixMatch: string({ maxLength: 1024 }),
  type: required(oneOf(['ReplaceFullPath', 'ReplacePrefixMatch'])),
});

export const headerMatches = list(headerMatch, { maxItems: 16, listType: 'map', listMapKeys: ['name'] });

export const caCertificateRef = object({
  group: required(apiGroup),
  kind: required(apiKind),
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: namespaceName,
});

export const matchExpression = object({
  key: required(string()),
  operator: required(string()),
  values: list(string(), { listType: 'atomic' }),
});

export const matchExpressions = list(matchExpression, { listType: 'atomic' });

export const backendObjectReference = object({
  group: coreGroup,
  kind: serviceKind,
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: namespaceName,
  port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
});

export const urlRewrite = object({
  hostname: sectionName,
  path: pathModifier,
});

export const weightedBackendReference = object({
  group: coreGroup,
  kind: serviceKind,
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: namespaceName,
  port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
  weight: integer({ minimum: 0, maximum: 1000000, format: 'int32', default: 1 }),
});

export const parentRef = object({
  group: gatewayGroup,
  kind: gatewayKind,
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: namespaceName,
  port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
  sectionName: sectionName,
});

export const condition = object({
  lastTransitionTime: required(string({ format: 'date-time' })),
  message: required(string({ maxLength: 32768 })),
  observedGeneration: integer({ minimum: 0, format: 'int64' }),
  reason: required(conditionReason),
  status: required(oneOf(['True', 'False', 'Unknown'])),
  type: required(conditionType),
});

/** What a status says until a controller has looked at the object. */
export function pending(type: string) {
  return {
    lastTransitionTime: '1970-01-01T00:00:00Z',
    message: 'Waiting for controller',
    reason: 'Pending',
    status: 'Unknown',
    type,
  };
}

export const parentRefs = list(parentRef, { maxItems: 32, listType: 'atomic' });

export const weightedBackendReferences = list(weightedBackendReference, {
  minItems: 1,
  maxItems: 16,
  listType: 'atomic',
});

export const ancestorConditions = list(condition, {
  minItems: 1,
  maxItems: 8,
  listType: 'map',
  listMapKeys: ['type'],
});

export const labelSelector = object(
  {
    matchExpressions: matchExpressions,
    matchLabels: map(string()),
  },
  { mapType: 'atomic' },
);

export const requestRedirect = object({
  hostname: sectionName,
  path: pathModifier,
  port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
  scheme: oneOf(['http', 'https']),
  statusCode: integer({ enum: [301, 302, 303, 307, 308] }),
});

export const l4Rule = object({
  backendRefs: required(weightedBackendReferences),
  name: sectionName,
});

export const l4Rules = list(l4Rule, { minItems: 1, maxItems: 1, listType: 'atomic' });

export const headerModifier = object({
  add: headerValues,
  remove: list(string(), { maxItems: 16, listType: 'set' }),
  set: headerValues,
});

export const cors = object({
  allowCredentials: boolean(),
  allowHeaders: list(headerName, { maxItems: 64, listType: 'set' }),
  allowMethods: list(
    oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', '*']),
    { maxItems: 9, listType: 'set' },
  ),
  allowOrigins: list(corsOrigin, { maxItems: 64, listType: 'set' }),
  exposeHeaders: list(headerName, { maxItems: 64, listType: 'set' }),
  maxAge: integer({ minimum: 1, format: 'int32', default: 5 }),
});

export const requestMirror = object({
  backendRef: required(backendObjectReference),
  fraction: fraction,
  percent: integer({ minimum: 0, maximum: 100, format: 'int32' }),
});

export const routeParent = object({
  conditions: required(ancestorConditions),
  controllerName: required(controllerName),
  parentRef: required(parentRef),
});

export const routeParents = list(routeParent, { maxItems: 32, listType: 'atomic' });

export const routeStatus = object({
  parents: required(routeParents),
});

export const l4RouteSpec = object({
  parentRefs: parentRefs,
  rules: required(l4Rules),
});

export const grpcRouteFilter = object({
  extensionRef: extensionRef,
  requestHeaderModifier: headerModifier,
  requestMirror: requestMirror,
  responseHeaderModifier: headerModifier,
  type: required(oneOf(['ResponseHeaderModifier', 'RequestHeaderModifier', 'RequestMirror', 'ExtensionRef'])),
});

export const grpcRouteFilters = list(grpcRouteFilter, { maxItems: 16, listType: 'atomic' });

export const httpRouteFilter = object({
  cors: cors,
  extensionRef: extensionRef,
  requestHeaderModifier: headerModifier,
  requestMirror: requestMirror,
  requestRedirect: requestRedirect,
  responseHeaderModifier: headerModifier,
  type: required(
    oneOf([
      'RequestHeaderModifier',
      'ResponseHeaderModifier',
      'RequestMirror',
      'RequestRedirect',
      'URLRewrite',
      'ExtensionRef',
      'CORS',
    ]),
  ),
  urlRewrite: urlRewrite,
});

export const httpRouteFilters = list(httpRouteFilter, { maxItems: 16, listType: 'atomic' });
