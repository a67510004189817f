import { type FieldError, fieldError } from './field-errors.ts';
import { type JsonObject, type JsonValue, numberAt, objectAt, objectsAt, stringAt } from './json.ts';
import { dns1123Label, dns1123Subdomain } from './names.ts';

/** Checks of a PodSpec: what would otherwise fail late, on the node, with less to say. */
export function podSpecErrors(spec: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = volumeErrors(spec, `${path}.volumes`, errors);
  const containers = objectsAt(spec, 'containers');
  if (containers.length === 0) errors.push(fieldError.required(`${path}.containers`));
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    for (const [index, container] of objectsAt(spec, list).entries()) {
      errors.push(...containerErrors(container, `${path}.${list}[${index}]`, names, volumes));
    }
  }
  errors.push(
    ...enumErrors(spec, `${path}.restartPolicy`, ['Always', 'OnFailure', 'Never']),
    ...enumErrors(spec, `${path}.dnsPolicy`, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']),
  );
  const serviceAccount = stringAt(spec, 'serviceAccountName');
  if (serviceAccount !== undefined) {
    const problem = dns1123Subdomain(serviceAccount);
    if (problem !== undefined)
      errors.push(fieldError.invalid(`${path}.serviceAccountName`, serviceAccount, problem));
  }
  if ((numberAt(spec, 'terminationGracePeriodSeconds') ?? 0) < 0) {
    errors.push(
      negative(`${path}.terminationGracePeriodSeconds`, spec['terminationGracePeriodSeconds'] ?? 0),
    );
  }
  return errors;
}

/** Collects the volumes' names; what is wrong with them goes to `errors`. */
function volumeErrors(spec: JsonObject, path: string, errors: FieldError[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, volume] of objectsAt(spec, 'volumes').entries()) {
    const at = `${path}[${index}]`;
    const name = stringAt(volume, 'name') ?? '';
    checkName(name, `${at}.name`, names, errors);
    const sources = Object.keys(volume).filter((field) => field !== 'name');
    if (sources.length > 1) {
      errors.push(fieldError.forbidden(`${at}.${sources[1]}`, 'may not specify more than 1 volume type'));
    }
    const hostPath = objectAt(volume, 'hostPath');
    if (hostPath !== undefined && (stringAt(hostPath, 'path') ?? '') === '') {
      errors.push(fieldError.required(`${at}.hostPath.path`));
    }
    if (
      objectAt(volume, 'configMap') !== undefined &&
      (stringAt(objectAt(volume, 'configMap'), 'name') ?? '') === ''
    ) {
      errors.push(fieldError.required(`${at}.configMap.name`));
    }
    if (
      objectAt(volume, 'secret') !== undefined &&
      (stringAt(objectAt(volume, 'secret'), 'secretName') ?? '') === ''
    ) {
      errors.push(fieldError.required(`${at}.secret.secretName`));
    }
  }
  return names;
}

function checkName(name: string, path: string, taken: Set<string>, errors: FieldError[]): void {
  const problem = dns1123Label(name);
  if (name === '') errors.push(fieldError.required(path));
  else if (problem !== undefined) errors.push(fieldError.invalid(path, name, problem));
  else if (taken.has(name)) errors.push(fieldError.duplicate(path, name));
  taken.add(name);
}

function containerErrors(
  container: JsonObject,
  path: string,
  names: Set<string>,
  volumes: ReadonlySet<string>,
): FieldError[] {
  const errors: FieldError[] = [];
  checkName(stringAt(container, 'name') ?? '', `${path}.name`, names, errors);
  if ((stringAt(container, 'image') ?? '') === '') errors.push(fieldError.required(`${path}.image`));
  errors.push(
    ...enumErrors(container, `${path}.imagePullPolicy`, ['Always', 'IfNotPresent', 'Never']),
    ...enumErrors(container, `${path}.terminationMessagePolicy`, ['File', 'FallbackToLogsOnError']),
  );
  const portNames = new Set<string>();
  for (const [index, port] of objectsAt(container, 'ports').entries()) {
    errors.push(...containerPortErrors(port, `${path}.ports[${index}]`, portNames));
  }
  for (const [index, variable] of objectsAt(container, 'env').entries()) {
    const at = `${path}.env[${index}]`;
    const name = stringAt(variable, 'name') ?? '';
    if (name === '') errors.push(fieldError.required(`${at}.name`));
    else if (name.includes('=')) {
      errors.push(
        fieldError.invalid(`${at}.name`, name, "a valid environment variable name must not contain '='"),
      );
    }
    const source = objectAt(variable, 'valueFrom');
    if (source !== undefined && (stringAt(variable, 'value') ?? '') !== '') {
      errors.push(
        fieldError.invalid(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty'),
      );
    }
    if (source !== undefined && Object.keys(source).length !== 1) {
      errors.push(
        fieldError.invalid(
          `${at}.valueFrom`,
          '',
          'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
        ),
      );
    }
  }
  const mountPaths = new Set<string>();
  for (const [index, mount] of objectsAt(container, 'volumeMounts').entries()) {
    const at = `${path}.volumeMounts[${index}]`;
    const name = stringAt(mount, 'name') ?? '';
    const mountPath = stringAt(mount, 'mountPath') ?? '';
    if (name === '') errors.push(fieldError.required(`${at}.name`));
    else if (!volumes.has(name))
      errors.push({
        path: `${at}.name`,
        reason: 'FieldValueNotFound',
        message: `Not found: ${JSON.stringify(name)}`,
      });
    if (mountPath === '') errors.push(fieldError.required(`${at}.mountPath`));
    else if (mountPaths.has(mountPath))
      errors.push(fieldError.invalid(`${at}.mountPath`, mountPath, 'must be unique'));
    mountPaths.add(mountPath);
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = objectAt(container, name);
    if (probe !== undefined) errors.push(...probeErrors(probe, `${path}.${name}`));
  }
  return errors;
}

function containerPortErrors(port: JsonObject, path: string, names: Set<string>): FieldError[] {
  const errors: FieldError[] = [];
  const name = stringAt(port, 'name') ?? '';
  if (name !== '') {
    const problem = portNameProblem(name);
    if (problem !== undefined) errors.push(fieldError.invalid(`${path}.name`, name, problem));
    if (names.has(name)) errors.push(fieldError.duplicate(`${path}.name`, name));
    names.add(name);
  }
  const number = numberAt(port, 'containerPort') ?? 0;
  if (number === 0) errors.push(fieldError.required(`${path}.containerPort`));
  else errors.push(...portErrors(number, `${path}.containerPort`));
  const hostPort = numberAt(port, 'hostPort') ?? 0;
  if (hostPort !== 0) errors.push(...portErrors(hostPort, `${path}.hostPort`));
  return [...errors, ...enumErrors(port, `${path}.protocol`, ['SCTP', 'TCP', 'UDP'])];
}

function probeErrors(probe: JsonObject, path: string): FieldError[] {
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter(
    (handler) => objectAt(probe, handler) !== undefined,
  );
  if (handlers.length === 0) return [fieldError.required(path, 'must specify a handler type')];
  const [, second] = handlers;
  if (second !== undefined) {
    return [fieldError.forbidden(`${path}.${second}`, 'may not specify more than 1 handler type')];
  }
  const errors: FieldError[] = [];
  for (const handler of ['httpGet', 'tcpSocket', 'grpc']) {
    const port = objectAt(probe, handler)?.['port'];
    if (typeof port === 'number') errors.push(...portErrors(port, `${path}.${handler}.port`));
  }
  for (const field of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ]) {
    if ((numberAt(probe, field) ?? 0) < 0) errors.push(negative(`${path}.${field}`, probe[field] ?? 0));
  }
  return errors;
}

export function negative(path: string, value: JsonValue): FieldError {
  return fieldError.invalid(path, value, 'must be greater than or equal to 0');
}

export function portErrors(port: number, path: string): FieldError[] {
  if (port >= 1 && port <= 65_535) return [];
  return [fieldError.invalid(path, port, 'must be between 1 and 65535, inclusive')];
}

/** An IANA service name. */
export function portNameProblem(name: string): string | undefined {
  if (name.length > 15) return 'must be no more than 15 characters';
  if (!/^[-a-z0-9]+$/.test(name))
    return 'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)';
  if (!/[a-z]/.test(name)) return 'must contain at least one letter (a-z)';
  if (name.includes('--')) return 'must not contain consecutive hyphens';
  return /^-|-$/.test(name) ? 'must not begin or end with a hyphen' : undefined;
}

/** The last part of the path names the field. */
export function enumErrors(parent: JsonObject, path: string, allowed: readonly string[]): FieldError[] {
  const value = stringAt(parent, path.slice(path.lastIndexOf('.') + 1));
  return value === undefined || allowed.includes(value)
    ? []
    : [fieldError.notSupported(path, value, allowed)];
}
