import { badRequest } from '../api-error.ts';
import { accessRequestOf, ruleObject, type AccessDecision, type RbacAuthorizer } from '../auth/rbac.ts';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import { userInfo, type User } from '../auth/user.ts';
import { objectAt, stringAt, stringsAt, type JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';

/** Resources that hold nothing: a POST is a question, and the answer is its status. */
export class Reviews {
  private readonly authorizer: RbacAuthorizer;
  private readonly tokens: ServiceAccountTokens;

  constructor(authorizer: RbacAuthorizer, tokens: ServiceAccountTokens) {
    this.authorizer = authorizer;
    this.tokens = tokens;
  }

  /** The review with its status; undefined when the resource is an ordinary one. */
  answer(
    resource: Resource,
    namespace: string | undefined,
    user: User,
    review: JsonObject,
  ): JsonObject | undefined {
    const status = this.status(resource, namespace, user, objectAt(review, 'spec') ?? {});
    if (status === undefined) return undefined;
    return { metadata: {}, ...review, kind: resource.kind, apiVersion: resource.apiVersion, status };
  }

  private status(
    resource: Resource,
    namespace: string | undefined,
    user: User,
    spec: JsonObject,
  ): JsonObject | undefined {
    switch (resource.collection) {
      case 'tokenreviews.authentication.k8s.io':
        return this.tokenStatus(spec);
      case 'selfsubjectreviews.authentication.k8s.io':
        return { userInfo: userInfo(user) };
      case 'selfsubjectaccessreviews.authorization.k8s.io':
        return this.accessStatus(user, spec);
      case 'subjectaccessreviews.authorization.k8s.io':
        return this.accessStatus(subjectOf(spec), spec);
      case 'localsubjectaccessreviews.authorization.k8s.io':
        if (stringAt(spec, 'resourceAttributes', 'namespace') !== namespace) {
          throw badRequest('spec.resourceAttributes.namespace must match metadata.namespace');
        }
        return this.accessStatus(subjectOf(spec), spec);
      case 'selfsubjectrulesreviews.authorization.k8s.io':
        return this.rulesStatus(user, stringAt(spec, 'namespace'));
      default:
        return undefined;
    }
  }

  private tokenStatus(spec: JsonObject): JsonObject {
    const asked = stringsAt(spec, 'audiences');
    const verdict = this.tokens.verify(
      stringAt(spec, 'token') ?? '',
      asked.length === 0 ? this.tokens.apiAudiences : asked,
    );
    if (verdict.kind === 'invalid') {
      return { authenticated: false, user: {}, error: `[invalid bearer token, ${verdict.why}]` };
    }
    return { authenticated: true, user: userInfo(verdict.user), audiences: [...verdict.audiences] };
  }

  private accessStatus(user: User, spec: JsonObject): JsonObject {
    const request = accessRequestOf(spec);
    if (request === undefined)
      throw badRequest('spec: exactly one of nonResourceAttributes or resourceAttributes must be specified');
    const decision: AccessDecision = this.authorizer.authorize(user, request);
    return { allowed: decision.allowed, ...(decision.reason === '' ? {} : { reason: decision.reason }) };
  }

  private rulesStatus(user: User, namespace: string | undefined): JsonObject {
    const rules = this.authorizer.rulesFor(user, namespace);
    return {
      resourceRules: rules.filter((rule) => rule.resources.length > 0).map(ruleObject),
      nonResourceRules: rules.filter((rule) => rule.nonResourceURLs.length > 0).map(ruleObject),
      incomplete: false,
    };
  }
}

function subjectOf(spec: JsonObject): User {
  const extra = Object.entries(objectAt(spec, 'extra') ?? {}).map(([key]): [string, readonly string[]] => [
    key,
    stringsAt(spec, 'extra', key),
  ]);
  const uid = stringAt(spec, 'uid');
  return {
    name: stringAt(spec, 'user') ?? '',
    groups: stringsAt(spec, 'groups'),
    ...(uid === undefined ? {} : { uid }),
    extra: Object.fromEntries(extra),
  };
}
