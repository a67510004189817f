import { Component } from '@weft/api';
import { resources, type KubernetesClient, type KubernetesObject } from '@weft/kubernetes';

interface Release {
  readonly name: string;
  readonly namespace: string;
}

/** Deployments of control planes and DaemonSets of node agents and ztunnels, whoever installed them. */
export async function partsOf(client: Pick<KubernetesClient, 'list'>): Promise<readonly KubernetesObject[]> {
  const lists = await Promise.all([
    client.list(resources.deployments, { labelSelector: `app=${Component.controlPlane}` }),
    client.list(resources.daemonSets, { labelSelector: `k8s-app=${Component.cni}` }),
    client.list(resources.daemonSets, { labelSelector: `app=${Component.ztunnel}` }),
  ]);
  return lists.flatMap(({ items }) => items);
}

/** Those that another release brought, or none of helm's: each with where it is from. */
export function othersParts(parts: readonly KubernetesObject[], release: Release): readonly string[] {
  return parts.flatMap(({ kind, metadata }) => {
    const name = metadata.annotations?.['meta.helm.sh/release-name'];
    const namespace = metadata.annotations?.['meta.helm.sh/release-namespace'];
    if (name === release.name && namespace === release.namespace) return [];
    const origin = name === undefined ? 'not from helm' : `from release ${namespace}/${name}`;
    return [`${kind} ${metadata.namespace}/${metadata.name} ${origin}`];
  });
}
