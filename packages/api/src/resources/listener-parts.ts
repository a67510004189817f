/** Parts of a Gateway and its like: listeners, their TLS, whose routes they take, and what is said of them. */
import {
  apiKind,
  caCertificateRef,
  condition,
  coreGroup,
  gatewayGroup,
  hostname,
  labelSelector,
  namespaceName,
  sectionName,
  pending,
} from './gateway-api-parts.ts';
import { integer, list, map, object, oneOf, required, string } from './model.ts';

const listenerProtocol = string({
  minLength: 1,
  maxLength: 255,
  pattern:
    '^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+$',
});

const secretKind = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$',
  default: 'Secret',
});

const routeKind = object({
  group: gatewayGroup,
  kind: required(apiKind),
});

const routeKinds = list(routeKind, { maxItems: 8, listType: 'atomic' });

export const certificateRef = object({
  group: coreGroup,
  kind: secretKind,
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: namespaceName,
});

const certificateRefs = list(certificateRef, { maxItems: 64, listType: 'atomic' });

const caCertificateRefs = list(caCertificateRef, { minItems: 1, maxItems: 16, listType: 'atomic' });

export const gatewayConditions = list(condition, {
  maxItems: 8,
  listType: 'map',
  listMapKeys: ['type'],
  default: [pending('Accepted'), pending('Programmed')],
});

const conditions = list(condition, { maxItems: 8, listType: 'map', listMapKeys: ['type'] });

const frontendTlsValidation = object({
  caCertificateRefs: required(caCertificateRefs),
  mode: oneOf(['AllowValidOnly', 'AllowInsecureFallback'], { default: 'AllowValidOnly' }),
});

export const frontendTls = object({
  validation: frontendTlsValidation,
});

const listenerTls = object({
  certificateRefs: certificateRefs,
  mode: oneOf(['Terminate', 'Passthrough'], { default: 'Terminate' }),
  options: map(string(), { maxProperties: 16 }),
});

const routeNamespaces = object(
  {
    from: oneOf(['All', 'Selector', 'Same'], { default: 'Same' }),
    selector: labelSelector,
  },
  { default: { from: 'Same' } },
);

const listenerStatus = object({
  attachedRoutes: required(integer({ format: 'int32' })),
  conditions: required(conditions),
  name: required(sectionName),
  supportedKinds: routeKinds,
});

export const listenerStatuses = list(listenerStatus, {
  maxItems: 64,
  listType: 'map',
  listMapKeys: ['name'],
});

const allowedRoutes = object(
  {
    kinds: routeKinds,
    namespaces: routeNamespaces,
  },
  { default: { namespaces: { from: 'Same' } } },
);

const gatewayListener = object({
  allowedRoutes: allowedRoutes,
  hostname: hostname,
  name: required(sectionName),
  port: required(integer({ minimum: 1, maximum: 65535, format: 'int32' })),
  protocol: required(listenerProtocol),
  tls: listenerTls,
});

export const gatewayListeners = list(gatewayListener, {
  minItems: 1,
  maxItems: 64,
  listType: 'map',
  listMapKeys: ['name'],
});
