import {
  type KubernetesClient,
  type KubernetesObject,
  Reflector,
  type ResourceType,
  resources,
} from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { type WebhookClientConfig, testWebhook } from './self-test.ts';
import type { MeshAuthority } from '../ca/mesh-authority.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';

interface ValidatingWebhookConfiguration extends KubernetesObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly failurePolicy?: string;
    readonly clientConfig: WebhookClientConfig;
  }[];
}

export interface WebhookConfigurationOptions {
  readonly client: KubernetesClient;
  readonly name: string;
  readonly authority: Pick<MeshAuthority, 'rootsPem' | 'subscribe'>;
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

/** The webhook of our own kinds. Objects of the Gateway API belong to others, too: without us they go unchecked. */
const FAILS_CLOSED = 'rev.validation';

/**
 * Gives the API server the roots with which to trust our webhook and, once a call through the Service was answered,
 * lets no policy pass unseen: charts install it with failurePolicy Ignore, because nobody could answer yet.
 */
export function maintainWebhookConfiguration(options: WebhookConfigurationOptions): void {
  const { client, name, authority, clock, logger, signal } = options;
  // The resource's objects are untyped in the table of resources.
  const type = resources.validatingWebhookConfigurations as ResourceType<ValidatingWebhookConfiguration>;
  const set = (position: number, webhook: string, field: string, value: string): Promise<unknown> => {
    const path = `/webhooks/${position}`;
    const patch = [
      // The list may have changed since we saw it; the position must still be that webhook's.
      { op: 'test', path: `${path}/name`, value: webhook },
      { op: 'add', path: `${path}${field}`, value },
    ];
    return client.patch(type, name, undefined, patch, 'json', { signal });
  };
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async () => {
      const webhooks = reflector.get(name)?.webhooks ?? [];
      const { rootsPem } = authority;
      const caBundle = Buffer.from(rootsPem).toString('base64');
      try {
        for (const [i, webhook] of webhooks.entries()) {
          const { clientConfig, failurePolicy } = webhook;
          if (clientConfig.caBundle !== caBundle)
            await set(i, webhook.name, '/clientConfig/caBundle', caBundle);
          if (failurePolicy === 'Fail' || !webhook.name.startsWith(FAILS_CLOSED)) continue;
          await testWebhook(clientConfig, rootsPem, signal);
          await set(i, webhook.name, '/failurePolicy', 'Fail');
        }
      } catch (error) {
        throw new WeftError('WEFT1812', `ValidatingWebhookConfiguration ${name}`, { cause: error });
      }
    },
    onError: (_key, error) =>
      logger.warn('cannot complete the webhook configuration', { error: describeError(error) }),
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
  const unsubscribe = authority.subscribe(() => reconciler.enqueue(name));
  signal.addEventListener('abort', unsubscribe, { once: true });
}
