import { Annotation, GatewayClass, Label, MANAGED_BY_MESH, Port } from '@weft/api';
import {
  type KubernetesObject,
  type ObjectMeta,
  type PodController,
  type ResourceType,
  type Service,
  type ServiceAccount,
  type UntypedObject,
  apiVersionOf,
  resources,
} from '@weft/kubernetes';
import { waypointResourceName, waypointServiceAccount } from '../ambient/waypoints.ts';
import type { GatewayFacts } from '../sources/gateway-objects.ts';
import { type Overlay, type OverlayKey, overlayKeys } from './overlays.ts';
import { type Json, strategicMerge } from './strategic-merge.ts';
import { waypointPodSpec, type WaypointTemplate } from './waypoint-pod.ts';

export interface DesiredObject {
  readonly type: ResourceType;
  readonly object: KubernetesObject;
}

/**
 * The objects that a waypoint Gateway stands for, as they are to be applied.
 * @param overlays changes to them, of which later ones win
 */
export function waypointObjects(
  gateway: GatewayFacts,
  template: WaypointTemplate,
  overlays: readonly Overlay[] = [],
): DesiredObject[] {
  const base = render(gateway, template);
  return overlayKeys.flatMap((key) => {
    const patches = overlays.flatMap((overlay) => overlay[key] ?? []);
    const { type, object, always } = base[key];
    if (!always && patches.length === 0) return [];
    // Objects and their JSON are the same thing in another type.
    const merged = patches.reduce<Json>(
      (before, patch) => strategicMerge(before, patch) ?? before,
      object as unknown as Json,
    ) as unknown as KubernetesObject;
    return [{ type, object: fixed(merged, object) }];
  });
}

/** Names, owner and the labels by which the parts find each other are not the user's to change. */
function fixed(merged: KubernetesObject, base: KubernetesObject): KubernetesObject {
  const { name, namespace, ownerReferences, labels = {} } = base.metadata;
  const own = Object.fromEntries(Object.entries(labels).filter(([label]) => isReserved(label)));
  const metadata = {
    ...merged.metadata,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    labels: { ...merged.metadata.labels, ...own },
  };
  return { ...merged, metadata };
}

interface Rendered {
  readonly type: ResourceType;
  readonly object: KubernetesObject;
  /** Without an overlay, too. */
  readonly always: boolean;
}

function render(gateway: GatewayFacts, template: WaypointTemplate): Readonly<Record<OverlayKey, Rendered>> {
  const name = waypointResourceName(gateway);
  const account = waypointServiceAccount(gateway);
  const meta = (objectName: string, annotations: Readonly<Record<string, string>> = {}): ObjectMeta => ({
    name: objectName,
    namespace: gateway.namespace,
    labels: { ...propagated(gateway, 'labels'), ...ownLabels(gateway) },
    annotations: { ...propagated(gateway, 'annotations'), ...annotations },
    ownerReferences: [
      { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: gateway.name, uid: gateway.uid },
    ],
  });
  const selector = { [Label.gatewayName]: gateway.name };
  const always = <T extends KubernetesObject>(type: ResourceType, object: T): Rendered => ({
    type,
    object,
    always: true,
  });
  const onDemand = (type: ResourceType, spec: object): Rendered => {
    const object: UntypedObject = {
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      metadata: meta(name),
      spec,
    };
    return { type, object, always: false };
  };
  return {
    serviceAccount: always<ServiceAccount>(resources.serviceAccounts, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: meta(account),
    }),
    service: always<Service>(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(name, { [Annotation.trafficDistribution]: 'PreferClose' }),
      spec: {
        type: serviceType(gateway),
        ipFamilyPolicy: 'PreferDualStack',
        selector,
        ports: [
          { name: 'status-port', port: Port.readiness, protocol: 'TCP', appProtocol: 'tcp' },
          { name: 'mesh', port: Port.hbone, protocol: 'TCP', appProtocol: 'hbone' },
        ],
      },
    }),
    deployment: always<PodController>(resources.deployments, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: meta(name),
      // Without `replicas`: that field is the user's, or an autoscaler's.
      spec: {
        selector: { matchLabels: selector },
        template: {
          metadata: {
            labels: {
              ...propagated(gateway, 'labels'),
              ...ownLabels(gateway),
              [Label.canonicalName]: name,
              [Label.canonicalRevision]: 'latest',
              [Label.dataplaneMode]: 'none',
              'sidecar.istio.io/inject': 'false',
            },
            annotations: {
              ...propagated(gateway, 'annotations'),
              'istio.io/rev': template.revision,
              'prometheus.io/path': '/stats/prometheus',
              'prometheus.io/port': String(Port.stats),
              'prometheus.io/scrape': 'true',
            },
          },
          spec: waypointPodSpec(gateway, { name, account }, template),
        },
      },
    }),
    horizontalPodAutoscaler: onDemand(resources.horizontalPodAutoscalers, {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
    }),
    podDisruptionBudget: onDemand(resources.podDisruptionBudgets, { selector: { matchLabels: selector } }),
  };
}

function ownLabels({ name }: GatewayFacts): Record<string, string> {
  return {
    [Label.gatewayName]: name,
    [Label.gatewayClassName]: GatewayClass.waypoint,
    [Label.gatewayManaged]: MANAGED_BY_MESH,
  };
}

/** `spec.infrastructure` if it says anything, else the Gateway's own; never what the Gateway API reserves. */
function propagated(gateway: GatewayFacts, field: 'labels' | 'annotations'): Record<string, string> {
  const { infrastructure } = gateway.spec;
  const from =
    infrastructure?.labels === undefined && infrastructure?.annotations === undefined
      ? gateway[field]
      : (infrastructure[field] ?? {});
  return Object.fromEntries(
    Object.entries(from).filter(([key]) => !isReserved(key) && !key.startsWith('kubectl.kubernetes.io/')),
  );
}

function isReserved(key: string): boolean {
  return key.startsWith('gateway.networking.k8s.io/') || key.startsWith('gateway.istio.io/');
}

function serviceType(gateway: GatewayFacts): 'ClusterIP' | 'NodePort' | 'LoadBalancer' {
  const type = gateway.annotations[Annotation.gatewayServiceType];
  return type === 'NodePort' || type === 'LoadBalancer' ? type : 'ClusterIP';
}
