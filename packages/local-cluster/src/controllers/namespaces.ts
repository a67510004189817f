import { resources } from '@weft/kubernetes';
import { isTerminating } from './pods.ts';
import { isOf, nothing, type Controller, type Write } from './reconcile.ts';

export const ROOT_CA_CONFIG_MAP = 'kube-root-ca.crt';

/** What every namespace has from its start: the default ServiceAccount, and the CA that pods verify the API with. */
export function namespaceController(caPem: string): Controller {
  return {
    name: 'namespace',

    keysFor(change) {
      const { name = '', namespace = '' } = change.object.metadata;
      if (isOf(change, resources.namespaces)) return [name];
      const ours =
        (isOf(change, resources.serviceAccounts) && name === 'default') ||
        (isOf(change, resources.configMaps) && name === ROOT_CA_CONFIG_MAP);
      return ours ? [namespace] : [];
    },

    reconcile(name, view) {
      const namespace = view.get(resources.namespaces, name);
      if (namespace === undefined || isTerminating(namespace)) return nothing;
      const writes: Write[] = [];
      if (view.get(resources.serviceAccounts, 'default', name) === undefined) {
        const object = { metadata: { name: 'default', namespace: name } };
        writes.push({ kind: 'create', type: resources.serviceAccounts, object });
      }
      const root = view.get(resources.configMaps, ROOT_CA_CONFIG_MAP, name);
      const data = { 'ca.crt': caPem };
      if (root === undefined) {
        const object = { metadata: { name: ROOT_CA_CONFIG_MAP, namespace: name }, data };
        writes.push({ kind: 'create', type: resources.configMaps, object });
      } else if (root.data?.['ca.crt'] !== caPem) {
        const type = resources.configMaps;
        writes.push({ kind: 'patch', type, name: ROOT_CA_CONFIG_MAP, namespace: name, patch: { data } });
      }
      return { writes };
    },
  };
}
