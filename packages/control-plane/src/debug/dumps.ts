import { istio } from '@weft/api/workload';
import { formatAddress } from '../ambient/addresses.ts';
import type { Ambient } from '../ambient/ambient-graph.ts';
import type { EncodedResource } from '../ambient/resources.ts';

/** What one answer holds at most; `?namespace=` narrows it down. */
const MAX_DUMPED = 10_000;

/** Resources as the proxies get them, decoded again: what is shown is what is sent. */
export function dumpWorkloads(ambient: Ambient, namespace: string | null): unknown[] {
  return dump(ambient.workloads.values(), namespace, decodeAddress);
}

export function dumpServices(ambient: Ambient, namespace: string | null): unknown[] {
  return dump(ambient.services.values(), namespace, decodeAddress);
}

export function dumpAuthorizations(ambient: Ambient, namespace: string | null): unknown[] {
  return dump(ambient.authorizations.values(), namespace, ({ bytes }) =>
    istio.security.Authorization.decode(bytes),
  );
}

function decodeAddress({ bytes }: EncodedResource): { readonly namespace: string } {
  const { workload, service } = istio.workload.Address.decode(bytes);
  return { ...(workload ?? service), namespace: (workload ?? service)?.namespace ?? '' };
}

function dump<T extends { readonly namespace: string }>(
  resources: Iterable<EncodedResource>,
  namespace: string | null,
  decode: (resource: EncodedResource) => T,
): unknown[] {
  const shown: unknown[] = [];
  for (const resource of resources) {
    if (shown.length >= MAX_DUMPED) break;
    const message = decode(resource);
    if (namespace !== null && message.namespace !== namespace) continue;
    shown.push({ version: resource.version, ...readable(message) });
  }
  return shown;
}

/** Own properties only, which leaves out defaults; addresses as text. */
function readable(message: object): object {
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [key, readableValue(value)]));
}

function readableValue(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return value.length === 4 || value.length === 16
      ? formatAddress(value)
      : Buffer.from(value).toString('base64');
  }
  if (Array.isArray(value)) return value.map(readableValue);
  return typeof value === 'object' && value !== null ? readable(value) : value;
}
