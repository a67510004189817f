import { parse } from 'yaml';
import { istio } from '@weft/api/workload';
import type { KubernetesObject } from '@weft/kubernetes';
import type { EncodedResource } from './resources.ts';

/** Test support: objects as users write them, and messages in a form that is pleasant to compare. */

export function yaml<T extends KubernetesObject>(text: string): T {
  return parse(text) as T; // the test vouches for what it wrote
}

/** A message without prototype, defaults and empty lists; bytes as dotted or coloned hex is left to the caller. */
export function plain(message: unknown): unknown {
  if (message instanceof Uint8Array) return [...message].join('.');
  if (Array.isArray(message)) return message.map(plain);
  if (typeof message !== 'object' || message === null) return message;
  const entries = Object.entries(message)
    .filter(
      ([, value]) => !(value === null || value === undefined || (Array.isArray(value) && value.length === 0)),
    )
    .map(([key, value]) => [key, plain(value)] as const);
  return Object.fromEntries(entries);
}

export function decodeWorkload(resource: EncodedResource | undefined): istio.workload.Workload | undefined {
  if (resource === undefined) return undefined;
  return (istio.workload.Address.decode(resource.bytes).workload ?? undefined) as
    | istio.workload.Workload
    | undefined;
}

export function decodeService(resource: EncodedResource | undefined): unknown {
  return resource === undefined ? undefined : plain(istio.workload.Address.decode(resource.bytes).service);
}

export function decodeAuthorization(resource: EncodedResource): unknown {
  return plain(istio.security.Authorization.decode(resource.bytes));
}
