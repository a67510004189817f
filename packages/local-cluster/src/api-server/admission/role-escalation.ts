import { forbidden } from '../api-error.ts';
import {
  denialMessage,
  missingPermission,
  rulesOf,
  type AccessRequest,
  type PolicyRule,
  type RbacAuthorizer,
} from '../auth/rbac.ts';
import { jsonEquals } from '../../schema/index.ts';
import { objectAt, stringAt } from '../object.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';

const GROUP = 'rbac.authorization.k8s.io';

/** Nobody hands out, by role or by binding, what they may not do themselves, unless `escalate` or `bind` is theirs. */
export class RoleEscalation implements AdmissionPlugin {
  private readonly authorizer: RbacAuthorizer;

  constructor(authorizer: RbacAuthorizer) {
    this.authorizer = authorizer;
  }

  validate(request: AdmissionRequest): void {
    const { operation, resource, object, oldObject, user, namespace, name } = request;
    if (resource.group !== GROUP || object === undefined || operation === 'DELETE') return;
    const binding = resource.plural === 'rolebindings' || resource.plural === 'clusterrolebindings';
    if (oldObject !== undefined && jsonEquals(oldObject['rules'], object['rules']) && !binding) return;
    const reference = objectAt(object, 'roleRef');
    const exemption: AccessRequest = binding
      ? {
          kind: 'resource',
          verb: 'bind',
          group: GROUP,
          resource: stringAt(reference, 'kind') === 'Role' ? 'roles' : 'clusterroles',
          namespace,
          name: stringAt(reference, 'name'),
        }
      : { kind: 'resource', verb: 'escalate', group: GROUP, resource: resource.plural, namespace, name };
    if (this.authorizer.authorize(user, exemption).allowed) return;
    const wanted: readonly PolicyRule[] = binding
      ? this.authorizer.rulesOfReference(reference, namespace)
      : rulesOf(object);
    const missing = missingPermission(this.authorizer.rulesFor(user, namespace), wanted);
    if (missing === undefined) return;
    const text = denialMessage(user, missing, '');
    throw forbidden(
      resource,
      name,
      `user "${user.name}" is attempting to grant RBAC permissions not currently held: ${text}`,
    );
  }
}
