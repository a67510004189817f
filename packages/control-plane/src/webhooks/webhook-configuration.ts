import {
  type KubernetesClient,
  type KubernetesObject,
  Reflector,
  type ResourceType,
  resources,
} from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';

interface ValidatingWebhookConfiguration extends KubernetesObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly failurePolicy?: string;
    readonly clientConfig?: { readonly caBundle?: string };
  }[];
}

export interface WebhookConfigurationOptions {
  readonly client: KubernetesClient;
  readonly name: string;
  readonly rootsPem: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

export function webhookConfigurationName(namespace: string, revision: string): string {
  return revision === '' || revision === 'default'
    ? `istio-validator-${namespace}`
    : `istio-validator-${revision}-${namespace}`;
}

/**
 * Gives the API server the roots with which to trust our webhook, and from then on lets no policy pass unseen: charts
 * install it with failurePolicy Ignore, because nobody could answer yet.
 */
export function maintainWebhookConfiguration(options: WebhookConfigurationOptions): void {
  const { client, name, rootsPem, clock, logger, signal } = options;
  // The resource's objects are untyped in the table of resources.
  const type = resources.validatingWebhookConfigurations as ResourceType<ValidatingWebhookConfiguration>;
  const caBundle = Buffer.from(rootsPem).toString('base64');
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async () => {
      const patch = (reflector.get(name)?.webhooks ?? []).flatMap((webhook, i) => {
        if (webhook.clientConfig?.caBundle === caBundle && webhook.failurePolicy === 'Fail') return [];
        const path = `/webhooks/${i}`;
        return [
          // The list may have changed since we saw it; the position must still be that webhook's.
          { op: 'test', path: `${path}/name`, value: webhook.name },
          { op: 'add', path: `${path}/clientConfig/caBundle`, value: caBundle },
          { op: 'add', path: `${path}/failurePolicy`, value: 'Fail' },
        ];
      });
      if (patch.length === 0) return;
      try {
        await client.patch(type, name, undefined, patch, 'json', { signal });
      } catch (error) {
        throw new WeftError('WEFT1812', `ValidatingWebhookConfiguration ${name}`, { cause: error });
      }
    },
    onError: (_key, error) =>
      logger.warn('cannot patch the webhook configuration', { error: describeError(error) }),
  });
  const reflector = new Reflector<ValidatingWebhookConfiguration>({
    client,
    type,
    fieldSelector: `metadata.name=${name}`,
    onChange: () => reconciler.enqueue(name),
    onSynced: () => undefined,
    signal,
    logger,
  });
}
