import { envoy } from '@weft/api/envoy';
import { parsePort } from '../ambient/policy-matches.ts';
import {
  type AuthorizationPolicySpec,
  type PolicyObject,
  type PolicyOperation,
  type PolicyRule,
  isDryRun,
} from '../sources/policy-objects.ts';
import { extension } from './any.ts';
import type { Layer } from './names.ts';
import {
  type PrincipalConversion,
  type Strings,
  bracketed,
  cidrRange,
  conditionPrincipals,
  escape,
  sourcePrincipals,
  textMatch,
} from './rbac-principals.ts';

type Permission = envoy.config.rbac.v3.Permission.$Properties;
type Principal = envoy.config.rbac.v3.Principal.$Properties;
type Policy = envoy.config.rbac.v3.Policy.$Properties;
type AuthorizationPolicy = PolicyObject<AuthorizationPolicySpec>;

const { Action } = envoy.config.rbac.v3.RBAC;
const httpRbac = envoy.extensions.filters.http.rbac.v3.RBAC;
const networkRbac = envoy.extensions.filters.network.rbac.v3.RBAC;
const { UriTemplateMatchConfig } = envoy.extensions.path.match.uri_template.v3;

const actions = [
  { action: 'AUDIT', envoyAction: Action.LOG, shadowRulesStatPrefix: '' },
  // A CUSTOM one about which nobody can be asked refuses.
  { action: 'CUSTOM', envoyAction: Action.DENY, shadowRulesStatPrefix: '' },
  { action: 'DENY', envoyAction: Action.DENY, shadowRulesStatPrefix: 'istio_dry_run_deny_' },
  { action: 'ALLOW', envoyAction: Action.ALLOW, shadowRulesStatPrefix: 'istio_dry_run_allow_' },
] as const;

export const HTTP_RBAC = 'envoy.filters.http.rbac';
const CUSTOM_PREFIX = 'istio_ext_authz_';
/** Of the RBAC filter. */
export const CUSTOM_MATCH = `${CUSTOM_PREFIX}shadow_effective_policy_id`;
const REFUSED = '-deny-due-to-bad-CUSTOM-action';

/** Filters that enforce the policies, in the order in which they decide: what denies comes first. */
export function httpAuthorization(policies: readonly AuthorizationPolicy[]) {
  return filters(policies, 'http').map((config) => extension(HTTP_RBAC, httpRbac, config));
}

export function networkAuthorization(policies: readonly AuthorizationPolicy[]) {
  return filters(policies, 'tcp').map((config) =>
    extension('envoy.filters.network.rbac', networkRbac, { ...config, statPrefix: 'tcp.' }),
  );
}

/** The rules of CUSTOM policies as a shadow: what they match shows in the metadata {@link CUSTOM_MATCH}. */
export function customShadow(policies: readonly AuthorizationPolicy[]) {
  const rules = policies.flatMap((policy) =>
    convertPolicy(policy, 'http').map(([key, rule]) => [customKey(policy, key), rule]),
  );
  return extension(HTTP_RBAC, httpRbac, {
    shadowRules: { action: Action.DENY, policies: Object.fromEntries(rules) },
    shadowRulesStatPrefix: CUSTOM_PREFIX,
  });
}

/** How the names of one provider's rules begin. The bracket keeps `opa` and `opa-2` apart. */
export function customKeyPrefix(provider: string): string {
  return `${customMark(provider)}ns[`;
}

function customMark(provider: string): string {
  return `istio-ext-authz-${provider}-`;
}

function customKey({ spec }: AuthorizationPolicy, key: string): string {
  return customMark(spec.provider?.name ?? '') + key;
}

interface RbacRules {
  readonly rules?: envoy.config.rbac.v3.RBAC.$Properties;
  readonly shadowRules?: envoy.config.rbac.v3.RBAC.$Properties;
  readonly shadowRulesStatPrefix?: string;
}

/** One filter for each action; policies in dry run are its shadow, which counts and decides nothing. */
function filters(policies: readonly AuthorizationPolicy[], layer: Layer): RbacRules[] {
  return actions.flatMap(({ action, envoyAction, shadowRulesStatPrefix }) => {
    const ofAction = policies.filter(({ spec }) => (spec.action ?? 'ALLOW') === action);
    const rules = (chosen: readonly AuthorizationPolicy[]) => ({
      action: envoyAction,
      policies: Object.fromEntries(
        chosen.flatMap((policy) =>
          convertPolicy(policy, layer).map(([key, rule]) => [
            action === 'CUSTOM' ? `${customKey(policy, key)}${REFUSED}` : key,
            rule,
          ]),
        ),
      ),
    });
    const enforced = ofAction.filter((policy) => !isDryRun(policy));
    const shadows = ofAction.filter(isDryRun);
    if (ofAction.length === 0) return [];
    return [
      {
        ...(enforced.length === 0 ? {} : { rules: rules(enforced) }),
        ...(shadows.length === 0 ? {} : { shadowRules: rules(shadows), shadowRulesStatPrefix }),
      },
    ];
  });
}

function convertPolicy(policy: AuthorizationPolicy, layer: Layer): [string, Policy][] {
  const { namespace, name, spec } = policy;
  const key = (i: number): string => `ns[${namespace}]-policy[${name}]-rule[${i}]`;
  const converted = (spec.rules ?? []).flatMap((rule, i): [string, Policy][] => {
    const result = convertRule(rule, { namespace, layer, isAllow: (spec.action ?? 'ALLOW') === 'ALLOW' });
    return result === undefined ? [] : [[key(i), result]];
  });
  // An ALLOW without anything that matches denies all, and so must be there.
  return converted.length === 0 ? [[key(0), never]] : converted;
}

const never: Policy = { permissions: [{ notRule: { any: true } }], principals: [{ notId: { any: true } }] };

/**
 * Undefined for a rule that must not count: an ALLOW that asks for what this layer can't see. A DENY keeps what is
 * left and denies more.
 */
function convertRule(
  rule: PolicyRule,
  o: { readonly namespace: string; readonly layer: Layer; readonly isAllow: boolean },
): Policy | undefined {
  const conditions: Permission[] = [];
  const everySource: Principal[] = [];
  for (const condition of rule.when ?? []) {
    const principals = conditionPrincipals(condition, o.namespace);
    if (principals === undefined) {
      const permission = conditionPermission(condition.key, condition.values, condition.notValues);
      // A key that nobody knows: an ALLOW doesn't match, a DENY matches without it.
      if (permission.length === 0 && o.isAllow) return undefined;
      conditions.push(...permission);
    } else if (o.layer === 'tcp' && principals.unsupported.length > 0) {
      if (o.isAllow) return undefined;
    } else {
      everySource.push(...principals.principals);
    }
  }
  const permissions: Permission[] = [];
  for (const { operation = {} } of rule.to ?? [{}]) {
    const converted = operationPermissions(operation);
    if (o.layer === 'tcp' && converted.http.length > 0 && o.isAllow) continue;
    permissions.push(all([...converted.any, ...(o.layer === 'http' ? converted.http : []), ...conditions]));
  }
  const principals: Principal[] = [];
  for (const { source = {} } of rule.from ?? [{}]) {
    const converted: PrincipalConversion = sourcePrincipals(source, o.namespace);
    if (o.layer === 'tcp' && converted.unsupported.length > 0) {
      if (o.isAllow) continue;
      const { requestPrincipals: _r, notRequestPrincipals: _n, ...visible } = source;
      principals.push(allIds([...sourcePrincipals(visible, o.namespace).principals, ...everySource]));
    } else {
      principals.push(allIds([...converted.principals, ...everySource]));
    }
  }
  return permissions.length === 0 || principals.length === 0 ? undefined : { permissions, principals };
}

function all(permissions: Permission[]): Permission {
  return permissions.length === 0 ? { any: true } : { andRules: { rules: permissions } };
}

function allIds(principals: Principal[]): Principal {
  return principals.length === 0 ? { any: true } : { andIds: { ids: principals } };
}

function operationPermissions(operation: PolicyOperation): {
  readonly any: readonly Permission[];
  readonly http: readonly Permission[];
} {
  return {
    any: both(operation.ports, operation.notPorts, portPermission),
    http: [
      ...both(operation.hosts, operation.notHosts, hostPermission),
      ...both(operation.methods, operation.notMethods, (method) => ({
        header: { name: ':method', stringMatch: textMatch(method) },
      })),
      ...both(operation.paths, operation.notPaths, pathPermission),
    ],
  };
}

function both(
  values: Strings | undefined,
  notValues: Strings | undefined,
  convert: (value: string) => Permission,
): Permission[] {
  const alternatives = (list: Strings): Permission => ({ orRules: { rules: list.map(convert) } });
  return [
    ...(values === undefined || values.length === 0 ? [] : [alternatives(values)]),
    ...(notValues === undefined || notValues.length === 0 ? [] : [{ notRule: alternatives(notValues) }]),
  ];
}

function portPermission(text: string): Permission {
  return { destinationPort: parsePort(text) ?? 0 };
}

/** Without its port: clients may write it or leave it out. */
function hostPermission(host: string): Permission {
  if (host === '*') return { header: { name: ':authority', presentMatch: true } };
  const pattern = host.split('*').map(escape).join('.*');
  const port = /:\d+$/.test(host) || host.endsWith('*') ? '' : '(:[0-9]+)?';
  return { header: { name: ':authority', stringMatch: { safeRegex: { regex: `(?i)${pattern}${port}` } } } };
}

function pathPermission(path: string): Permission {
  if (path.includes('{*}') || path.includes('{**}')) {
    const pathTemplate = path.replaceAll('{**}', '**').replaceAll('{*}', '*');
    return {
      uriTemplate: extension('uri-template', UriTemplateMatchConfig, { pathTemplate }),
    };
  }
  return { urlPath: { path: textMatch(path) } };
}

function conditionPermission(
  key: string,
  values: Strings | undefined,
  notValues: Strings | undefined,
): Permission[] {
  switch (key) {
    case 'destination.ip':
      return both(values, notValues, (text) => ({ destinationIp: cidrRange(text) }));
    case 'destination.port':
      return both(values, notValues, portPermission);
    case 'connection.sni':
      return both(values, notValues, (text) => ({ requestedServerName: textMatch(text) }));
    default: {
      const filter = /^experimental\.(envoy\.[^[]+)/.exec(key)?.[1];
      const path = filter === undefined ? undefined : bracketed(key, `experimental.${filter}`);
      if (filter === undefined || path === undefined) return [];
      return both(values, notValues, (text) => ({
        metadata: {
          filter,
          path: path.map((part) => ({ key: part })),
          value: { stringMatch: textMatch(text) },
        },
      }));
    }
  }
}
