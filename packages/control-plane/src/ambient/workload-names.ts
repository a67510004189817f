import { Label } from '@weft/api';
import type { Labels } from '@weft/collections';
import type { PodFacts } from '../sources/facts.ts';

/** Names under which telemetry groups a pod. */
export interface WorkloadNames {
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
}

export function workloadNames(pod: PodFacts): WorkloadNames {
  return canonicalNames(pod.labels, pod.labels[Label.workloadName] || controllerName(pod) || pod.name);
}

export function canonicalNames(labels: Labels, workloadName: string): WorkloadNames {
  return {
    workloadName,
    canonicalName: labels[Label.canonicalName] || labels[Label.appName] || labels['app'] || workloadName,
    canonicalRevision:
      labels[Label.canonicalRevision] || labels[Label.appVersion] || labels['version'] || 'latest',
  };
}

const ROLLOUT_HASH = 'rollouts-pod-template-hash';
const DEPLOYMENT_CONFIG = 'openshift.io/deployment-config.name';

/** The object that a user made: the Deployment behind a ReplicaSet, the CronJob behind a Job. */
function controllerName({ controller, labels }: PodFacts): string | undefined {
  if (controller === undefined) return undefined;
  const { kind, name } = controller;
  switch (kind) {
    case 'ReplicaSet':
      return (
        withoutSuffix(name, labels[ROLLOUT_HASH]) ??
        withoutSuffix(name, labels[Label.podTemplateHash]) ??
        name
      );
    case 'ReplicationController':
      return labels[DEPLOYMENT_CONFIG] ?? name;
    case 'Job':
      // CronJob appends the scheduled minute since the epoch.
      return /^(.+)-\d{8,10}$/.exec(name)?.[1] ?? name;
    default:
      return name;
  }
}

function withoutSuffix(name: string, hash: string | undefined): string | undefined {
  if (hash === undefined || hash === '' || !name.endsWith(`-${hash}`)) return undefined;
  return name.slice(0, -hash.length - 1);
}
