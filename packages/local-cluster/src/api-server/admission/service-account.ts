import { randomBytes } from 'node:crypto';
import { forbidden } from '../api-error.ts';
import {
  ensureObject,
  objectKey,
  objectsAt,
  stringAt,
  valueAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME_PREFIX = 'kube-api-access-';
/** Kubelets ask for an hour and a little, which marks the token as one whose expiry may be extended. */
const TOKEN_EXPIRATION_SECONDS = 3607;
/** `kubernetes.io/config.mirror`: a pod that a kubelet mirrors from its own files. */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Gives each pod its service account and, unless it declines, a volume with token, CA and namespace. */
export class ServiceAccountAdmission implements AdmissionPlugin {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  mutate({ operation, resource, subresource, namespace, object: pod }: AdmissionRequest): void {
    if (
      operation !== 'CREATE' ||
      resource.collection !== 'pods' ||
      subresource !== undefined ||
      pod === undefined
    )
      return;
    if (pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return;
    const spec = ensureObject(pod, 'spec'); // one without is refused by validation, which comes later
    const name = stringAt(spec, 'serviceAccountName') ?? stringAt(spec, 'serviceAccount') ?? '';
    const accountName = name === '' ? 'default' : name;
    spec['serviceAccountName'] = accountName;
    spec['serviceAccount'] = accountName;
    const account = this.store.get('serviceaccounts', objectKey(namespace, accountName));
    if (account === undefined) {
      throw forbidden(
        resource,
        pod.metadata.name,
        `error looking up service account ${namespace ?? ''}/${accountName}: serviceaccount "${accountName}" not found`,
      );
    }
    if (objectsAt(spec, 'imagePullSecrets').length === 0) {
      const secrets = objectsAt(account, 'imagePullSecrets');
      if (secrets.length > 0) spec['imagePullSecrets'] = secrets.map((secret) => ({ ...secret }));
    }
    if (wantsToken(spec, account)) mountToken(spec);
  }
}

function wantsToken(spec: JsonObject, account: ApiObject): boolean {
  const ofPod = valueAt(spec, 'automountServiceAccountToken');
  if (typeof ofPod === 'boolean') return ofPod;
  return valueAt(account, 'automountServiceAccountToken') !== false;
}

function mountToken(spec: JsonObject): void {
  const volumes = [...objectsAt(spec, 'volumes')];
  const existing = volumes.find(({ name }) => typeof name === 'string' && name.startsWith(VOLUME_PREFIX));
  const volumeName = stringAt(existing, 'name') ?? `${VOLUME_PREFIX}${randomSuffix()}`;
  let mounted = false;
  for (const container of [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')]) {
    const mounts = objectsAt(container, 'volumeMounts');
    if (mounts.some(({ mountPath }) => mountPath === MOUNT_PATH)) continue;
    container['volumeMounts'] = [...mounts, { name: volumeName, readOnly: true, mountPath: MOUNT_PATH }];
    mounted = true;
  }
  if (mounted && existing === undefined) spec['volumes'] = [...volumes, tokenVolume(volumeName)];
}

function tokenVolume(name: string): JsonObject {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: TOKEN_EXPIRATION_SECONDS } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Five characters that make no words, as Kubernetes uses for generated names. */
export function randomSuffix(): string {
  return [...randomBytes(5)].map((byte) => suffixAlphabet[byte % suffixAlphabet.length]).join('');
}
