import { forbidden, notFound } from '../api-error.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';

const namespaces = { group: '', plural: 'namespaces', kind: 'Namespace' };
const immortal: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

/** Nothing is created in a namespace that doesn't exist or is going away; the system's own can't be deleted. */
export class NamespaceLifecycle implements AdmissionPlugin {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  mutate({ operation, resource, subresource, namespace, name }: AdmissionRequest): void {
    if (operation === 'DELETE' && resource.collection === 'namespaces' && immortal.has(name)) {
      throw forbidden(resource, name, 'this namespace may not be deleted');
    }
    if (operation !== 'CREATE' || namespace === undefined || !resource.namespaced) return;
    const live = this.store.get('namespaces', namespace);
    if (live === undefined) throw notFound(namespaces, namespace);
    if (live.metadata.deletionTimestamp !== undefined && subresource === undefined) {
      const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
      throw forbidden(resource, name, message, [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ]);
    }
  }
}
