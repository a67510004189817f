import type { Service } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { Container, EnvFromSource, EnvVar } from './pod.ts';

/** Where the values of a container's variables come from. Objects that don't exist are undefined. */
export interface EnvironmentSources {
  readonly image: Readonly<Record<string, string>>;
  readonly services: Readonly<Record<string, string>>;
  readonly configMap: (name: string) => Promise<Readonly<Record<string, string>> | undefined>;
  readonly secret: (name: string) => Promise<Readonly<Record<string, string>> | undefined>;
  readonly field: (path: string) => string;
  readonly resource: (selector: NonNullable<NonNullable<EnvVar['valueFrom']>['resourceFieldRef']>) => string;
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * A container's variables, later ones over earlier ones: the image's, those of services, envFrom, env.
 * `$(NAME)` in a value means a variable defined before it.
 * @throws WEFT2064 when an object or key that isn't optional is missing
 */
export async function buildEnvironment(
  container: Pick<Container, 'env' | 'envFrom'>,
  hostname: string,
  sources: EnvironmentSources,
): Promise<Readonly<Record<string, string>>> {
  const variables: Record<string, string> = {
    PATH: DEFAULT_PATH,
    HOSTNAME: hostname,
    ...sources.image,
    ...sources.services,
  };
  for (const source of container.envFrom ?? []) Object.assign(variables, await readEnvFrom(source, sources));
  for (const variable of container.env ?? []) {
    const value = await readVariable(variable, variables, sources);
    if (value !== undefined) variables[variable.name] = value;
  }
  return variables;
}

async function readEnvFrom(
  source: EnvFromSource,
  sources: EnvironmentSources,
): Promise<Record<string, string>> {
  const { prefix = '', configMapRef, secretRef } = source;
  const reference = configMapRef ?? secretRef;
  const name = reference?.name ?? '';
  const data = await (configMapRef !== undefined ? sources.configMap(name) : sources.secret(name));
  if (data === undefined && reference?.optional !== true) throw missing(configMapRef !== undefined, name);
  const valid = Object.entries(data ?? {}).filter(([key]) => key !== '' && !key.includes('='));
  return Object.fromEntries(valid.map(([key, value]) => [`${prefix}${key}`, value]));
}

async function readVariable(
  { name, value, valueFrom }: EnvVar,
  defined: Readonly<Record<string, string>>,
  sources: EnvironmentSources,
): Promise<string | undefined> {
  if (valueFrom === undefined) return expandVariables(value ?? '', defined);
  if (valueFrom.fieldRef !== undefined) return sources.field(valueFrom.fieldRef.fieldPath);
  if (valueFrom.resourceFieldRef !== undefined) return sources.resource(valueFrom.resourceFieldRef);
  const { configMapKeyRef, secretKeyRef } = valueFrom;
  const reference = configMapKeyRef ?? secretKeyRef;
  if (reference === undefined) return '';
  const isConfigMap = configMapKeyRef !== undefined;
  const objectName = reference.name ?? '';
  const data = await (isConfigMap ? sources.configMap(objectName) : sources.secret(objectName));
  const found = data?.[reference.key];
  if (found !== undefined || reference.optional === true) return found;
  if (data === undefined) throw missing(isConfigMap, objectName);
  const kind = isConfigMap ? 'ConfigMap' : 'Secret';
  throw new WeftError(
    'WEFT2064',
    `variable ${name}: couldn't find key ${reference.key} in ${kind} ${objectName}`,
  );
}

function missing(isConfigMap: boolean, name: string): WeftError {
  return new WeftError('WEFT2064', `${isConfigMap ? 'configmap' : 'secret'} "${name}" not found`);
}

/** Kubernetes' `$(NAME)`: unknown names stay as they are, and `$$` is a literal `$`. */
export function expandVariables(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, _inner: string, name: string | undefined) => {
    if (name === undefined) return '$';
    return Object.hasOwn(variables, name) ? (variables[name] ?? '') : whole;
  });
}

/**
 * The variables that announce Services: those of the pod's namespace when it asks for service links, and always the
 * one of the Kubernetes API.
 */
export function serviceEnvironment(
  services: Iterable<Service>,
  namespace: string,
  serviceLinks: boolean,
): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const service of services) {
    const { name = '' } = service.metadata;
    const isApi = service.metadata.namespace === 'default' && name === 'kubernetes';
    if (!isApi && !(serviceLinks && service.metadata.namespace === namespace)) continue;
    const ip = service.spec?.clusterIP;
    if (ip === undefined || ip === '' || ip === 'None') continue;
    Object.assign(variables, variablesOf(service, name.toUpperCase().replaceAll('-', '_'), ip));
  }
  return variables;
}

function variablesOf(service: Service, prefix: string, ip: string): Record<string, string> {
  const ports = service.spec?.ports ?? [];
  const [first] = ports;
  if (first === undefined) return {};
  const variables: Record<string, string> = {
    [`${prefix}_SERVICE_HOST`]: ip,
    [`${prefix}_SERVICE_PORT`]: String(first.port),
    [`${prefix}_PORT`]: `${(first.protocol ?? 'TCP').toLowerCase()}://${ip}:${first.port}`,
  };
  for (const { name = '', port, protocol = 'TCP' } of ports) {
    if (name !== '')
      variables[`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll('-', '_')}`] = String(port);
    const link = `${prefix}_PORT_${port}_${protocol}`;
    variables[link] = `${protocol.toLowerCase()}://${ip}:${port}`;
    variables[`${link}_PROTO`] = protocol.toLowerCase();
    variables[`${link}_PORT`] = String(port);
    variables[`${link}_ADDR`] = ip;
  }
  return variables;
}
