import { randomUUID } from 'node:crypto';
import { describeError, type Logger } from '@weft/telemetry';
import { jsonPatch } from '../../patch/index.ts';
import { isObject, jsonEquals } from '../../schema/index.ts';
import { ApiError, internalError } from '../api-error.ts';
import { userInfo } from '../auth/user.ts';
import {
  cloneJson,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
  stringsAt,
  type ApiObject,
  type JsonObject,
  type JsonValue,
} from '../object.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';
import { matchConditionsHold } from './cel-bindings.ts';
import { failurePolicyOf, isMatched, requestObject } from './rule-matching.ts';
import type { WebhookClient } from './webhook-client.ts';

const GROUP = 'admissionregistration.k8s.io';
const collections = {
  mutating: `mutatingwebhookconfigurations.${GROUP}`,
  validating: `validatingwebhookconfigurations.${GROUP}`,
} as const;

/** Mutating webhooks one after the other, by configuration name; then, in the other phase, the validating ones at once. */
export class WebhookAdmission implements AdmissionPlugin {
  private readonly store: Store;
  private readonly client: WebhookClient;
  private readonly logger: Logger;

  constructor(store: Store, client: WebhookClient, logger: Logger) {
    this.store = store;
    this.client = client;
    this.logger = logger;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    const webhooks = this.webhooksFor(collections.mutating, request);
    const seen = new Map<JsonObject, JsonValue>();
    for (const webhook of webhooks) {
      await this.callMutating(webhook, request);
      if (stringAt(webhook, 'reinvocationPolicy') === 'IfNeeded')
        seen.set(webhook, cloneJson<JsonValue>(request.object ?? null));
    }
    // Those that asked for it see once more what others have changed after them.
    for (const [webhook, object] of seen) {
      if (!jsonEquals(object, request.object ?? null)) await this.callMutating(webhook, request);
    }
  }

  async validate(request: AdmissionRequest): Promise<void> {
    const webhooks = this.webhooksFor(collections.validating, request);
    const results = await Promise.allSettled(webhooks.map((webhook) => this.call(webhook, request)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  private webhooksFor(collection: string, request: AdmissionRequest): readonly JsonObject[] {
    // A webhook that could refuse changes of webhooks could lock everybody out.
    if (request.resource.group === GROUP) return [];
    return this.store
      .list(collection)
      .flatMap((configuration) => objectsAt(configuration, 'webhooks'))
      .filter((webhook) => isMatched(this.store, request, webhook, 'rules'));
  }

  private async callMutating(webhook: JsonObject, request: AdmissionRequest): Promise<void> {
    const response = await this.call(webhook, request);
    const patch = stringAt(response, 'patch');
    if (patch === undefined || request.object === undefined) return;
    const name = stringAt(webhook, 'name') ?? '';
    if (stringAt(response, 'patchType') !== 'JSONPatch')
      throw internalError(`webhook "${name}" returned an unknown patch type`);
    const operations = JSON.parse(Buffer.from(patch, 'base64').toString('utf8')) as JsonValue; // JSON.parse gives JSON
    const patched = jsonPatch(request.object, operations);
    if (!isObject(patched)) throw internalError(`webhook "${name}" replaced the object by something else`);
    replaceContent(request.object, patched);
  }

  /** The response of a webhook that allows the request; undefined when it was skipped or its failure is ignored. */
  private async call(webhook: JsonObject, request: AdmissionRequest): Promise<JsonObject | undefined> {
    const name = stringAt(webhook, 'name') ?? '';
    let response: JsonObject;
    try {
      const review = reviewOf(request);
      if (
        !matchConditionsHold(
          objectsAt(webhook, 'matchConditions'),
          request,
          objectAt(review, 'request') ?? {},
        )
      )
        return undefined;
      response = await this.client.review(webhook, review);
    } catch (error) {
      const why = describeError(error);
      if (failurePolicyOf(webhook) === 'Ignore') {
        this.logger.warn('admission webhook failed and is ignored', { webhook: name, error: why });
        return undefined;
      }
      throw internalError(`failed calling webhook "${name}": failed to call webhook: ${why}`);
    }
    request.warnings.push(...stringsAt(response, 'warnings'));
    if (response['allowed'] === true) return response;
    const status = objectAt(response, 'status');
    const message = stringAt(status, 'message') ?? stringAt(status, 'reason') ?? '';
    const text = message === '' ? 'denied the request without explanation' : `denied the request: ${message}`;
    const code = numberAt(status, 'code') ?? 403;
    throw new ApiError(
      code < 400 ? 403 : code,
      stringAt(status, 'reason') ?? 'Forbidden',
      `admission webhook "${name}" ${text}`,
      {},
    );
  }
}

function reviewOf(request: AdmissionRequest): JsonObject {
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      ...requestObject(request, randomUUID(), userInfo(request.user)),
      object: request.object ?? null,
      oldObject: request.oldObject ?? null,
    },
  };
}

/** Later steps and the writer hold the object itself. */
function replaceContent(object: ApiObject, content: JsonObject): void {
  for (const field of Object.keys(object)) delete object[field];
  Object.assign(object, content);
}
