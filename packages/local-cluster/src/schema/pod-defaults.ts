import { ensureObject, setAbsent, setDefault } from './default-values.ts';
import { isObject, type JsonObject, objectAt, objectsAt, stringAt } from './json.ts';

const FILE_MODE = 0o644;

/** Defaults of a PodSpec, in a Pod or in the template of a workload. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'schedulerName', 'default-scheduler');
  setAbsent(spec, 'terminationGracePeriodSeconds', 30);
  // kubectl debug dereferences it without looking.
  setAbsent(spec, 'securityContext', {});
  for (const volume of objectsAt(spec, 'volumes')) defaultVolume(volume);
  for (const container of containersOf(spec)) {
    defaultContainer(container);
    if (spec['hostNetwork'] === true) {
      for (const port of objectsAt(container, 'ports'))
        setDefault(port, 'hostPort', port['containerPort'] ?? 0);
    }
  }
  // The deprecated alias always equals the name.
  const serviceAccount = stringAt(spec, 'serviceAccountName') || stringAt(spec, 'serviceAccount');
  if (serviceAccount !== undefined) {
    spec['serviceAccountName'] = serviceAccount;
    spec['serviceAccount'] = serviceAccount;
  }
}

/** Defaults that only a Pod itself gets, not a template. */
export function defaultPod(pod: JsonObject): void {
  const spec = ensureObject(pod, 'spec');
  defaultPodSpec(spec);
  setAbsent(spec, 'enableServiceLinks', true);
  for (const container of containersOf(spec)) {
    const resources = objectAt(container, 'resources');
    const limits = objectAt(resources, 'limits');
    if (resources === undefined || limits === undefined) continue;
    const requests = ensureObject(resources, 'requests');
    for (const [name, quantity] of Object.entries(limits)) setAbsent(requests, name, quantity);
  }
}

function containersOf(spec: JsonObject): readonly JsonObject[] {
  return [
    ...objectsAt(spec, 'initContainers'),
    ...objectsAt(spec, 'containers'),
    ...objectsAt(spec, 'ephemeralContainers'),
  ];
}

function defaultContainer(container: JsonObject): void {
  setDefault(
    container,
    'imagePullPolicy',
    hasMovingTag(stringAt(container, 'image') ?? '') ? 'Always' : 'IfNotPresent',
  );
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  setAbsent(container, 'resources', {});
  for (const port of objectsAt(container, 'ports')) setDefault(port, 'protocol', 'TCP');
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = objectAt(container, name);
    if (probe !== undefined) defaultProbe(probe);
  }
  const lifecycle = objectAt(container, 'lifecycle');
  for (const hook of ['postStart', 'preStop']) defaultHttpGet(objectAt(objectAt(lifecycle, hook), 'httpGet'));
  for (const variable of objectsAt(container, 'env')) defaultFieldRef(objectAt(variable, 'valueFrom'));
}

/** `latest`, said or meant: the image may change under its name. */
function hasMovingTag(image: string): boolean {
  if (image.includes('@')) return false;
  const name = image.slice(image.lastIndexOf('/') + 1);
  return !name.includes(':') || name.endsWith(':latest');
}

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, 'timeoutSeconds', 1);
  setDefault(probe, 'periodSeconds', 10);
  setDefault(probe, 'successThreshold', 1);
  setDefault(probe, 'failureThreshold', 3);
  defaultHttpGet(objectAt(probe, 'httpGet'));
  const grpc = objectAt(probe, 'grpc');
  if (grpc !== undefined) setAbsent(grpc, 'service', '');
}

function defaultHttpGet(httpGet: JsonObject | undefined): void {
  if (httpGet === undefined) return;
  setDefault(httpGet, 'path', '/');
  setDefault(httpGet, 'scheme', 'HTTP');
}

function defaultFieldRef(source: JsonObject | undefined): void {
  const fieldRef = objectAt(source, 'fieldRef');
  if (fieldRef !== undefined) setDefault(fieldRef, 'apiVersion', 'v1');
}

function defaultVolume(volume: JsonObject): void {
  for (const [name, source] of Object.entries(volume)) if (source === null) delete volume[name];
  if (Object.keys(volume).every((name) => name === 'name')) volume['emptyDir'] = {};
  for (const source of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const files = objectAt(volume, source);
    if (files !== undefined) setAbsent(files, 'defaultMode', FILE_MODE);
  }
  const hostPath = objectAt(volume, 'hostPath');
  if (hostPath !== undefined) setAbsent(hostPath, 'type', '');
  for (const item of objectsAt(objectAt(volume, 'downwardAPI'), 'items')) defaultFieldRef(item);
  for (const source of objectsAt(objectAt(volume, 'projected'), 'sources')) defaultProjection(source);
  const claim = objectAt(objectAt(volume, 'ephemeral'), 'volumeClaimTemplate');
  if (claim !== undefined) defaultClaimSpec(ensureObject(claim, 'spec'));
}

function defaultProjection(source: JsonObject): void {
  const token = objectAt(source, 'serviceAccountToken');
  if (token !== undefined) setAbsent(token, 'expirationSeconds', 3600);
  for (const item of objectsAt(objectAt(source, 'downwardAPI'), 'items')) defaultFieldRef(item);
}

export function defaultClaimSpec(spec: JsonObject): void {
  setAbsent(spec, 'volumeMode', 'Filesystem');
}

/** The pod template of a workload's spec, if it has one. */
export function defaultTemplate(spec: JsonObject): void {
  const template = spec['template'];
  if (!isObject(template)) return;
  defaultPodSpec(ensureObject(template, 'spec'));
}
