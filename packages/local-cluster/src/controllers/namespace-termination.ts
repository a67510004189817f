import { resources, type KubernetesClient, type Namespace, type ResourceType } from '@weft/kubernetes';
import { describeError, type Logger } from '@weft/telemetry';
import { isTerminating } from './pods.ts';

const RETRY_MS = 300;

/**
 * Empties a terminating namespace, then lifts its `kubernetes` finalizer. It asks the API server rather than the
 * mirrors: what they don't show yet would be stranded in a namespace that no longer exists.
 */
export class NamespaceTermination {
  private readonly client: KubernetesClient;
  private readonly types: () => readonly ResourceType[];
  private readonly logger: Logger;
  private readonly running = new Set<string>();
  private readonly signal: AbortSignal;

  constructor(o: {
    client: KubernetesClient;
    types: () => readonly ResourceType[];
    logger: Logger;
    signal: AbortSignal;
  }) {
    this.client = o.client;
    this.types = o.types;
    this.logger = o.logger;
    this.signal = o.signal;
  }

  /** Takes note of a namespace's state; starts the work when it is terminating. */
  observe(namespace: Namespace): void {
    const { name = '' } = namespace.metadata;
    if (!isTerminating(namespace) || this.running.has(name)) return;
    this.running.add(name);
    void this.empty(name).finally(() => this.running.delete(name));
  }

  private async empty(name: string): Promise<void> {
    while (!this.signal.aborted) {
      try {
        if ((await this.deleteContent(name)) === 0 && (await this.finalize(name))) return;
      } catch (error) {
        this.logger.warn('namespace is not empty yet', { namespace: name, error: describeError(error) });
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** The number of objects that were still there. */
  private async deleteContent(namespace: string): Promise<number> {
    const { signal } = this;
    let found = 0;
    for (const type of this.types()) {
      if (!type.namespaced) continue;
      const { items } = await this.client.list(type, { namespace, signal });
      found += items.length;
      for (const { metadata } of items) {
        if (metadata.deletionTimestamp !== undefined) continue;
        await this.client
          .delete(type, metadata.name ?? '', namespace, { propagationPolicy: 'Background', signal })
          .catch((error: unknown) => this.logger.debug('delete failed', { error: describeError(error) }));
      }
    }
    return found;
  }

  /** True when the namespace is gone, or somebody else's finalizer is all that holds it. */
  private async finalize(name: string): Promise<boolean> {
    const namespace = await this.client.get(resources.namespaces, name, undefined, { signal: this.signal });
    const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== 'kubernetes');
    const object: Namespace = { ...namespace, spec: { ...namespace.spec, finalizers } };
    await this.client.replace(resources.namespaces, object, { subresource: 'finalize', signal: this.signal });
    return true;
  }
}
