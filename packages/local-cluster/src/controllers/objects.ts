import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  apiVersionOf,
  type Condition,
  type KubernetesObject,
  type OwnerReference,
  type PodController,
  type ResourceType,
  timestamp,
} from '@weft/kubernetes';
import type { Write } from './reconcile.ts';

/** Resources that only the controllers of a cluster touch. */
export const endpointsType: ResourceType<Endpoints> = {
  group: '',
  version: 'v1',
  plural: 'endpoints',
  kind: 'Endpoints',
  namespaced: true,
};

export interface Endpoints extends KubernetesObject {
  readonly subsets?: readonly EndpointSubset[];
}
export interface EndpointSubset {
  readonly addresses?: readonly EndpointAddress[];
  readonly notReadyAddresses?: readonly EndpointAddress[];
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol: string }[];
}
export interface EndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: {
    readonly kind: string;
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
  };
}

export function controllerOf(object: KubernetesObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function controllerReference(type: ResourceType, owner: KubernetesObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(type),
    kind: type.kind,
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

// The letters that Kubernetes uses in generated names: no vowels, so no words.
const nameLetters = 'bcdfghjklmnpqrstvwxz2456789';

/** A short name for content: equal content, equal name. The order of object keys doesn't count. */
export function contentHash(value: unknown, length = 10): string {
  const digest = createHash('sha256').update(canonicalJson(value)).digest();
  let name = '';
  for (let i = 0; i < length; i++) name += nameLetters[(digest[i] ?? 0) % nameLetters.length];
  return name;
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** A write of the status fields, or none when all of them already are as wanted. `undefined` means "absent". */
export function statusWrites(
  type: ResourceType,
  object: KubernetesObject & { readonly status?: object | undefined },
  status: Readonly<Record<string, unknown>>,
): readonly Write[] {
  const current = new Map(Object.entries(object.status ?? {}));
  const changed = Object.entries(status).filter(
    ([field, value]) => !isDeepStrictEqual(current.get(field), value),
  );
  if (changed.length === 0) return [];
  const patch = Object.fromEntries(changed.map(([field, value]) => [field, value ?? null]));
  const { name = '', namespace } = object.metadata;
  return [{ kind: 'patch', type, name, namespace, patch: { status: patch }, subresource: 'status' }];
}

/** The conditions with one of them set; its transition time moves only when its status does. */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  next: Omit<Condition, 'lastTransitionTime'> & { readonly lastUpdateTime?: string },
  now: Date,
): readonly Condition[] {
  const before = conditions?.find(({ type }) => type === next.type);
  const condition = {
    ...next,
    lastTransitionTime:
      before?.status === next.status && before.lastTransitionTime !== undefined
        ? before.lastTransitionTime
        : timestamp(now),
  };
  const others = (conditions ?? []).filter(({ type }) => type !== next.type);
  return before === undefined
    ? [...others, condition]
    : (conditions ?? []).map((item) => (item.type === next.type ? condition : item));
}

/** `25%` or `3` of a total. */
export function scaledValue(
  value: unknown,
  total: number,
  round: 'up' | 'down',
  fallback: number | string,
): number {
  const given = typeof value === 'number' || typeof value === 'string' ? value : fallback;
  if (typeof given === 'number') return given;
  const share = (Number.parseFloat(given) / 100) * total;
  return given.endsWith('%') ? (round === 'up' ? Math.ceil(share) : Math.floor(share)) : Number(given) || 0;
}

/** A field of a spec whose type the client package leaves open. */
export function numberField(object: PodController, field: string, fallback: number): number {
  const value = object.spec?.[field];
  return typeof value === 'number' ? value : fallback;
}

export function age(object: KubernetesObject): number {
  return Date.parse(object.metadata.creationTimestamp ?? '') || 0;
}
