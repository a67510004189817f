import {
  isNotFound,
  resourcePath,
  resources,
  type KubernetesClient,
  type KubernetesObject,
  type ResourceType,
  timestamp,
} from '@weft/kubernetes';
import type { ClusterCache } from './cluster-cache.ts';
import { contentHash } from './objects.ts';
import type { Write } from './reconcile.ts';

/** Carries out what controllers decided, and feeds the answers back into the cache. */
export class WriteExecutor {
  private readonly client: KubernetesClient;
  private readonly cache: ClusterCache;

  constructor(client: KubernetesClient, cache: ClusterCache) {
    this.client = client;
    this.cache = cache;
  }

  async execute(write: Write, controller: string, signal: AbortSignal): Promise<void> {
    const o = { signal, fieldManager: 'kube-controller-manager' };
    switch (write.kind) {
      case 'create':
        this.cache.upsert(write.type, await this.client.create(write.type, write.object, o));
        return;
      case 'patch': {
        const { type, name, namespace, patch, patchKind = 'merge', subresource } = write;
        const options = subresource === undefined ? o : { ...o, subresource };
        try {
          this.cache.upsert(type, await this.client.patch(type, name, namespace, patch, patchKind, options));
        } catch (error) {
          // Gone meanwhile: there is nothing left to bring into line.
          if (!isNotFound(error)) throw error;
        }
        return;
      }
      case 'delete':
        return this.delete(write.type, write.object, write, signal);
      case 'collect':
        if (await this.hasLivingOwner(write.object, signal)) return;
        return this.delete(write.type, write.object, { propagationPolicy: 'Background' }, signal);
      case 'bind': {
        const { name = '', namespace = '', uid = '' } = write.pod.metadata;
        await this.client.request({
          method: 'POST',
          path: resourcePath(resources.pods, { namespace, name, subresource: 'binding' }),
          body: {
            apiVersion: 'v1',
            kind: 'Binding',
            metadata: { name, namespace, uid },
            target: { apiVersion: 'v1', kind: 'Node', name: write.nodeName },
          },
          signal,
        });
        this.cache.upsert(resources.pods, await this.client.get(resources.pods, name, namespace, { signal }));
        return;
      }
      case 'event':
        return this.record(write, controller, signal);
    }
  }

  /** With the UID as precondition, so that a namesake made meanwhile stays. */
  private async delete(
    type: ResourceType,
    object: KubernetesObject,
    o: { readonly gracePeriodSeconds?: number; readonly propagationPolicy?: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { name = '', namespace, uid = '' } = object.metadata;
    const { gracePeriodSeconds, propagationPolicy } = o;
    try {
      const answer = await this.client.request<KubernetesObject>({
        method: 'DELETE',
        path: resourcePath(type, { namespace, name }),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          preconditions: { uid },
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
          ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
        },
        signal,
      });
      if (answer.kind === 'Status') this.cache.remove(type, object);
      else if (answer.metadata.deletionTimestamp !== undefined) this.cache.upsert(type, answer);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.cache.remove(type, object);
    }
  }

  private async hasLivingOwner(object: KubernetesObject, signal: AbortSignal): Promise<boolean> {
    for (const owner of object.metadata.ownerReferences ?? []) {
      const [group = '', version] = owner.apiVersion.includes('/')
        ? owner.apiVersion.split('/')
        : ['', owner.apiVersion];
      const type = this.cache.tracked().find((known) => known.group === group && known.kind === owner.kind);
      // An owner of an unknown kind may well exist; deleting on a guess can't be undone.
      if (type === undefined) return true;
      const namespace = type.namespaced ? object.metadata.namespace : undefined;
      try {
        const found = await this.client.get(
          { ...type, version: version ?? type.version },
          owner.name,
          namespace,
          { signal },
        );
        if (found.metadata.uid === owner.uid) return true;
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return false;
  }

  /** One Event per object, reason and message; a repeat only counts it up. */
  private async record(
    write: Extract<Write, { kind: 'event' }>,
    controller: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { regarding, type, reason, message } = write;
    const {
      name: regardingName = '',
      namespace = 'default',
      uid = '',
      resourceVersion = '',
    } = regarding.metadata;
    const name = `${regardingName}.${contentHash([uid, reason, message], 16)}`;
    const now = timestamp(new Date());
    try {
      const known = await this.client.get(resources.events, name, namespace, { signal });
      const patch = { count: (known.count ?? 1) + 1, lastTimestamp: now };
      await this.client.patch(resources.events, name, namespace, patch, 'merge', { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const involvedObject = {
        apiVersion: regarding.apiVersion ?? 'v1',
        kind: regarding.kind ?? 'Pod',
        name: regardingName,
        namespace,
        uid,
        resourceVersion,
      };
      const source = { component: controller };
      await this.client.create(
        resources.events,
        {
          metadata: { name, namespace },
          involvedObject,
          type,
          reason,
          message,
          source,
          count: 1,
          firstTimestamp: now,
          lastTimestamp: now,
        },
        { signal },
      );
    }
  }
}
