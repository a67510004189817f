import { isDeepStrictEqual } from 'node:util';
import { objectKey, resources, type Service } from '@weft/kubernetes';
import { isOf, nothing, splitKey, type Controller } from './reconcile.ts';

/** Gives each Service of type LoadBalancer an address of the range; the nodes' proxies answer on it. */
export function loadBalancerController(cidr: string): Controller {
  const addresses = addressesOf(cidr);
  return {
    name: 'load-balancer',

    keysFor(change) {
      return isOf(change, resources.services) ? [objectKey(change.object)] : [];
    },

    reconcile(key, view) {
      const { namespace, name } = splitKey(key);
      const service = view.get(resources.services, name, namespace);
      if (service === undefined) return nothing;
      const present = ingressOf(service);
      const [first] = present;
      const taken = new Set(
        view
          .list(resources.services)
          .filter((s) => s !== service)
          .flatMap(ingressOf),
      );
      const address =
        first !== undefined && addresses.includes(first) && !taken.has(first)
          ? first
          : addresses.find((ip) => !taken.has(ip));
      const wanted = service.spec?.type === 'LoadBalancer' && address !== undefined ? [address] : [];
      if (isDeepStrictEqual(present, wanted)) return nothing;
      const loadBalancer = {
        ingress: wanted.length === 0 ? null : wanted.map((ip) => ({ ip, ipMode: 'VIP' })),
      };
      return {
        writes: [
          {
            kind: 'patch',
            type: resources.services,
            name,
            namespace,
            patch: { status: { loadBalancer } },
            subresource: 'status',
          },
        ],
      };
    },
  };
}

export function ingressOf(service: Service): readonly string[] {
  const balancer = service.status?.['loadBalancer'] as // written here, schema-checked by the API server
    | { readonly ingress?: readonly { readonly ip?: string }[] | null }
    | undefined;
  return (balancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

/** Every address of the range but its first and last. */
function addressesOf(cidr: string): readonly string[] {
  const [base = '', bits = '32'] = cidr.split('/');
  const first = base.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
  const size = 2 ** (32 - Number(bits));
  return Array.from({ length: Math.max(0, size - 2) }, (_, index) => {
    const value = first + index + 1;
    return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
  });
}
