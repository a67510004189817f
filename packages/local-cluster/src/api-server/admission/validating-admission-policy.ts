import { describeError } from '@weft/telemetry';
import { compileExpression } from '../../schema/index.ts';
import { ApiError, forbidden } from '../api-error.ts';
import { userInfo } from '../auth/user.ts';
import {
  objectAt,
  objectKey,
  objectsAt,
  stringAt,
  stringsAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { ResourceCatalog } from '../resource.ts';
import { labelSelectorOf } from '../selectors.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';
import { matchConditionsHold, requestBindings } from './cel-bindings.ts';
import { failurePolicyOf, isMatched, requestObject } from './rule-matching.ts';

const GROUP = 'admissionregistration.k8s.io';

interface Denial {
  readonly message: string;
  readonly reason: string;
}

/** Evaluates ValidatingAdmissionPolicies by their bindings: CEL over `object`, `oldObject`, `request`, `params`… */
export class ValidatingAdmissionPolicies implements AdmissionPlugin {
  private readonly store: Store;
  private readonly catalog: ResourceCatalog;

  constructor(store: Store, catalog: ResourceCatalog) {
    this.store = store;
    this.catalog = catalog;
  }

  validate(request: AdmissionRequest): void {
    if (request.resource.group === GROUP) return;
    const bindings = this.store.list(`validatingadmissionpolicybindings.${GROUP}`);
    for (const binding of bindings) {
      const policy = this.store.get(
        `validatingadmissionpolicies.${GROUP}`,
        stringAt(binding, 'spec', 'policyName') ?? '',
      );
      if (policy !== undefined) this.enforce(policy, binding, request);
    }
  }

  private enforce(policy: ApiObject, binding: ApiObject, request: AdmissionRequest): void {
    const spec = objectAt(policy, 'spec') ?? {};
    const constraints = objectAt(spec, 'matchConstraints');
    if (constraints === undefined || !isMatched(this.store, request, constraints, 'resourceRules')) return;
    const narrowed = objectAt(binding, 'spec', 'matchResources');
    if (narrowed !== undefined && !isMatched(this.store, request, narrowed, 'resourceRules')) return;
    const actions = stringsAt(binding, 'spec', 'validationActions');
    for (const denial of this.evaluate(spec, binding, request)) {
      const text = `ValidatingAdmissionPolicy '${policy.metadata.name}' with binding '${binding.metadata.name}' denied request: ${denial.message}`;
      if (actions.includes('Warn')) request.warnings.push(`Validation failed for ${text}`);
      if (actions.includes('Deny')) throw refusal(request, text, denial.reason);
    }
  }

  /** Denials, lazily. An expression that fails counts as one, unless the policy ignores failures. */
  private *evaluate(spec: JsonObject, binding: ApiObject, request: AdmissionRequest): Iterable<Denial> {
    const ignoreFailures = failurePolicyOf(spec) === 'Ignore';
    try {
      const requestJson = requestObject(request, '', userInfo(request.user));
      const namespace =
        request.namespace === undefined ? undefined : this.store.get('namespaces', request.namespace);
      for (const params of this.params(spec, binding, request)) {
        const values: Record<string, unknown> = {
          ...requestBindings(request, requestJson),
          namespaceObject: namespace,
          params,
        };
        if (!matchConditionsHold(objectsAt(spec, 'matchConditions'), request, requestJson, values)) continue;
        const variables: Record<string, unknown> = {};
        values['variables'] = variables;
        for (const variable of objectsAt(spec, 'variables')) {
          variables[stringAt(variable, 'name') ?? ''] = evaluateExpression(
            stringAt(variable, 'expression'),
            values,
          );
        }
        for (const validation of objectsAt(spec, 'validations')) {
          if (evaluateExpression(stringAt(validation, 'expression'), values) !== true)
            yield denialOf(validation, values);
        }
      }
    } catch (error) {
      if (!ignoreFailures)
        yield { message: `expression could not be evaluated: ${describeError(error)}`, reason: 'Invalid' };
    }
  }

  /** The parameter objects to evaluate with; a policy without parameters is evaluated once. */
  private params(
    spec: JsonObject,
    binding: ApiObject,
    request: AdmissionRequest,
  ): readonly (ApiObject | undefined)[] {
    const kind = objectAt(spec, 'paramKind');
    const reference = objectAt(binding, 'spec', 'paramRef');
    if (kind === undefined || reference === undefined) return [undefined];
    const [group, version] = (stringAt(kind, 'apiVersion') ?? '').includes('/')
      ? (stringAt(kind, 'apiVersion') ?? '').split('/')
      : ['', stringAt(kind, 'apiVersion')];
    const resource = this.catalog.findKind(group ?? '', version ?? '', stringAt(kind, 'kind') ?? '');
    const namespace =
      resource?.namespaced === true ? (stringAt(reference, 'namespace') ?? request.namespace) : undefined;
    const name = stringAt(reference, 'name');
    let found: readonly (ApiObject | undefined)[] = [];
    if (resource !== undefined && name !== undefined) {
      const object = this.store.get(resource.collection, objectKey(namespace, name));
      if (object !== undefined) found = [object];
    } else if (resource !== undefined) {
      const selected = labelSelectorOf(objectAt(reference, 'selector'));
      found = this.store
        .list(resource.collection, namespace)
        .filter(({ metadata }) => selected(metadata.labels ?? {}));
    }
    if (found.length > 0 || stringAt(reference, 'parameterNotFoundAction') === 'Allow') return found;
    throw new Error('no params found for policy binding with `Deny` parameterNotFoundAction');
  }
}

function evaluateExpression(expression: string | undefined, values: Record<string, unknown>): unknown {
  return compileExpression(expression ?? 'false')(values);
}

function denialOf(validation: JsonObject, values: Record<string, unknown>): Denial {
  const reason = stringAt(validation, 'reason') ?? 'Invalid';
  const expression = stringAt(validation, 'messageExpression');
  if (expression !== undefined) {
    try {
      const message = evaluateExpression(expression, values);
      if (typeof message === 'string' && message.trim() !== '') return { message, reason };
    } catch {
      // The fixed message stands in, as the real server has it.
    }
  }
  const message =
    stringAt(validation, 'message') ?? `failed expression: ${stringAt(validation, 'expression') ?? ''}`;
  return { message, reason };
}

const codes: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  Invalid: 422,
  RequestEntityTooLarge: 413,
};

function refusal(request: AdmissionRequest, text: string, reason: string): ApiError {
  const { message, details } = forbidden(request.resource, request.name, text);
  return new ApiError(codes[reason] ?? 422, reason, message, { ...details, causes: [{ message: text }] });
}
