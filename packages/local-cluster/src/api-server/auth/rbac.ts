import { labelSelectorOf } from '../selectors.ts';
import {
  objectAt,
  objectKey,
  objectsAt,
  stringAt,
  stringsAt,
  valueAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { Store } from '../store/store.ts';
import { MASTERS_GROUP, parseServiceAccountUser, type User } from './user.ts';

/** A question to the authoriser, in the terms of `SubjectAccessReview`. */
export type AccessRequest =
  | {
      readonly kind: 'resource';
      readonly verb: string;
      readonly group: string;
      /** With its subresource: `pods/exec`. */
      readonly resource: string;
      readonly namespace: string | undefined;
      readonly name: string | undefined;
    }
  | { readonly kind: 'path'; readonly verb: string; readonly path: string };

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

export type AccessDecision =
  | { readonly allowed: true; readonly reason: string }
  | { readonly allowed: false; readonly reason: string };

interface Grant {
  /** Absent for a cluster role binding, which also grants paths. */
  readonly namespace: string | undefined;
  readonly rules: readonly PolicyRule[];
  readonly reason: string;
}

const GROUP = 'rbac.authorization.k8s.io';
const collections = {
  roles: `roles.${GROUP}`,
  clusterRoles: `clusterroles.${GROUP}`,
  roleBindings: `rolebindings.${GROUP}`,
  clusterRoleBindings: `clusterrolebindings.${GROUP}`,
} as const;

/** Role-based access control over the roles and bindings in the store. Nothing is allowed that no role grants. */
export class RbacAuthorizer {
  private readonly store: Store;
  /** Grants by subject (`User alice`, `Group devs`); built at the first question after a change. */
  private grants: ReadonlyMap<string, readonly Grant[]> | undefined;

  constructor(store: Store) {
    this.store = store;
    for (const collection of Object.values(collections)) {
      store.subscribe(collection, () => {
        this.grants = undefined;
      });
    }
  }

  authorize(user: User, request: AccessRequest): AccessDecision {
    if (user.groups.includes(MASTERS_GROUP)) return { allowed: true, reason: `group ${MASTERS_GROUP}` };
    for (const grant of this.grantsOf(user)) {
      const inScope =
        grant.namespace === undefined ||
        (request.kind === 'resource' && grant.namespace === request.namespace);
      if (inScope && grant.rules.some((rule) => ruleAllows(rule, request))) {
        return { allowed: true, reason: grant.reason };
      }
    }
    return { allowed: false, reason: '' };
  }

  /** Everything the user may do in a namespace, for `SelfSubjectRulesReview` and escalation checks. */
  rulesFor(user: User, namespace: string | undefined): readonly PolicyRule[] {
    if (user.groups.includes(MASTERS_GROUP)) return everything;
    const inScope = [...this.grantsOf(user)].filter(
      (g) => g.namespace === undefined || g.namespace === namespace,
    );
    return inScope.flatMap((grant) => grant.rules);
  }

  /** The rules that a `roleRef` stands for, aggregation included. */
  rulesOfReference(reference: JsonObject | undefined, namespace: string | undefined): readonly PolicyRule[] {
    const name = stringAt(reference, 'name') ?? '';
    if (stringAt(reference, 'kind') === 'Role') {
      return rulesOf(this.store.get(collections.roles, objectKey(namespace, name)));
    }
    return this.clusterRoleRules(this.store.get(collections.clusterRoles, name), new Set());
  }

  private *grantsOf(user: User): Iterable<Grant> {
    this.grants ??= this.index();
    for (const subject of [`User ${user.name}`, ...user.groups.map((group) => `Group ${group}`)]) {
      yield* this.grants.get(subject) ?? [];
    }
  }

  private index(): ReadonlyMap<string, readonly Grant[]> {
    const grants = new Map<string, Grant[]>();
    const bindings = [
      ...this.store.list(collections.clusterRoleBindings),
      ...this.store.list(collections.roleBindings),
    ];
    for (const binding of bindings) {
      const { namespace, name } = binding.metadata;
      const reference = objectAt(binding, 'roleRef');
      const role = `${stringAt(reference, 'kind') ?? ''} "${stringAt(reference, 'name') ?? ''}"`;
      const grant: Grant = {
        namespace,
        rules: this.rulesOfReference(reference, namespace),
        reason: `RBAC: allowed by ${binding.kind} "${objectKey(namespace, name)}" of ${role}`,
      };
      for (const subject of objectsAt(binding, 'subjects')) {
        const key = subjectKey(subject, namespace);
        const list = grants.get(key);
        if (list === undefined) grants.set(key, [grant]);
        else list.push(grant);
      }
    }
    return grants;
  }

  private clusterRoleRules(role: ApiObject | undefined, seen: Set<string>): readonly PolicyRule[] {
    if (role === undefined || seen.has(role.metadata.name)) return [];
    seen.add(role.metadata.name);
    const selectors = objectsAt(role, 'aggregationRule', 'clusterRoleSelectors').map(labelSelectorOf);
    if (selectors.length === 0) return rulesOf(role);
    const parts = this.store
      .list(collections.clusterRoles)
      .filter(({ metadata }) => selectors.some((selected) => selected(metadata.labels ?? {})));
    return parts.flatMap((part) => this.clusterRoleRules(part, seen));
  }
}

const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'], resourceNames: [], nonResourceURLs: [] },
  { verbs: ['*'], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: ['*'] },
];

function subjectKey(subject: JsonObject, bindingNamespace: string | undefined): string {
  const kind = stringAt(subject, 'kind') ?? '';
  const name = stringAt(subject, 'name') ?? '';
  if (kind !== 'ServiceAccount') return `${kind} ${name}`;
  return `User system:serviceaccount:${stringAt(subject, 'namespace') ?? bindingNamespace ?? ''}:${name}`;
}

export function rulesOf(role: ApiObject | undefined): readonly PolicyRule[] {
  return objectsAt(role, 'rules').map((rule) => ({
    verbs: stringsAt(rule, 'verbs'),
    apiGroups: stringsAt(rule, 'apiGroups'),
    resources: stringsAt(rule, 'resources'),
    resourceNames: stringsAt(rule, 'resourceNames'),
    nonResourceURLs: stringsAt(rule, 'nonResourceURLs'),
  }));
}

/** As an object of `SelfSubjectRulesReview`, without empty lists. */
export function ruleObject(rule: PolicyRule): JsonObject {
  const object: JsonObject = {};
  for (const [field, values] of Object.entries(rule) as [string, readonly string[]][]) {
    // PolicyRule has only lists
    if (values.length > 0) object[field] = [...values];
  }
  return object;
}

function ruleAllows(rule: PolicyRule, request: AccessRequest): boolean {
  if (!has(rule.verbs, request.verb)) return false;
  if (request.kind === 'path')
    return rule.nonResourceURLs.some((pattern) => pathMatches(pattern, request.path));
  return (
    has(rule.apiGroups, request.group) &&
    resourceMatches(rule.resources, request.resource) &&
    (rule.resourceNames.length === 0 ||
      (request.name !== undefined && rule.resourceNames.includes(request.name)))
  );
}

function has(values: readonly string[], wanted: string): boolean {
  return values.includes('*') || values.includes(wanted);
}

function resourceMatches(resources: readonly string[], wanted: string): boolean {
  if (has(resources, wanted)) return true;
  const slash = wanted.indexOf('/');
  return slash >= 0 && resources.includes(`*${wanted.slice(slash)}`);
}

function pathMatches(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}

/** The first single permission of `wanted` that `held` doesn't include; undefined when all are held. */
export function missingPermission(
  held: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): AccessRequest | undefined {
  for (const rule of wanted) {
    for (const verb of rule.verbs) {
      for (const path of rule.nonResourceURLs) {
        const request: AccessRequest = { kind: 'path', verb, path };
        if (!held.some((h) => ruleAllows(h, request))) return request;
      }
      for (const group of rule.apiGroups) {
        for (const resource of rule.resources) {
          const names = rule.resourceNames.length === 0 ? [undefined] : rule.resourceNames;
          for (const name of names) {
            const request: AccessRequest = {
              kind: 'resource',
              verb,
              group,
              resource,
              namespace: undefined,
              name,
            };
            if (!held.some((h) => ruleAllows(h, request))) return request;
          }
        }
      }
    }
  }
  return undefined;
}

/** `serviceaccount`-aware wording is not Kubernetes' own: its message always names the user as it is. */
export function denialMessage(user: User, request: AccessRequest, reason: string): string {
  const suffix = reason === '' ? '' : `: ${reason}`;
  if (request.kind === 'path') {
    return `User "${user.name}" cannot ${request.verb} path "${request.path}"${suffix}`;
  }
  const where =
    request.namespace === undefined ? 'at the cluster scope' : `in the namespace "${request.namespace}"`;
  return `User "${user.name}" cannot ${request.verb} resource "${request.resource}" in API group "${request.group}" ${where}${suffix}`;
}

/** What an impersonating request must be allowed to do, one question a header. */
export function impersonationRequests(target: User): readonly AccessRequest[] {
  const account = parseServiceAccountUser(target.name);
  const ask = (group: string, resource: string, name: string, namespace?: string): AccessRequest => ({
    kind: 'resource',
    verb: 'impersonate',
    group,
    resource,
    namespace,
    name,
  });
  return [
    account === undefined
      ? ask('', 'users', target.name)
      : ask('', 'serviceaccounts', account.name, account.namespace),
    ...target.groups.map((group) => ask('', 'groups', group)),
    ...(target.uid === undefined ? [] : [ask('authentication.k8s.io', 'uids', target.uid)]),
    ...Object.entries(target.extra).flatMap(([key, values]) =>
      values.map((value) => ask('authentication.k8s.io', `userextras/${key}`, value)),
    ),
  ];
}

/** A `resourceAttributes`/`nonResourceAttributes` spec of an access review as a question. */
export function accessRequestOf(spec: JsonObject): AccessRequest | undefined {
  const path = objectAt(spec, 'nonResourceAttributes');
  if (path !== undefined) {
    return { kind: 'path', verb: stringAt(path, 'verb') ?? '', path: stringAt(path, 'path') ?? '' };
  }
  const resource = objectAt(spec, 'resourceAttributes');
  if (resource === undefined) return undefined;
  const text = (field: string): string | undefined => {
    const value = valueAt(resource, field);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const subresource = text('subresource');
  return {
    kind: 'resource',
    verb: text('verb') ?? '',
    group: text('group') ?? '',
    resource: `${text('resource') ?? ''}${subresource === undefined ? '' : `/${subresource}`}`,
    namespace: text('namespace'),
    name: text('name'),
  };
}
