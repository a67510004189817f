import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Service } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { KubeletApi } from './api.ts';
import { fieldValue, resourceValue, type DownwardContext } from './downward.ts';
import { buildEnvironment, expandVariables, serviceEnvironment } from './environment.ts';
import type { ImageTable } from './images.ts';
import { podHostname } from './name-resolution.ts';
import type { PodSandbox } from './pod-sandbox.ts';
import type { Container, Pod } from './pod.ts';
import { containerScript, withEnvironment } from './sandbox/container-script.ts';
import { nodePrefix, planRootFilesystem, type ContainerMount } from './sandbox/root-filesystem.ts';
import { credentialsPrefix, decideCredentials, violatesNonRoot, type HostPrivileges } from './security.ts';
import { configMapData, secretData } from './volumes/volume-files.ts';
import type { PodVolumes } from './volumes/volume-manager.ts';

export interface ContainerSetupOptions {
  readonly api: KubeletApi;
  readonly images: ImageTable;
  readonly privileges: HostPrivileges;
  readonly services: () => Iterable<Service>;
}

/** A container that is ready to be started. */
export interface PreparedContainer {
  readonly scriptPath: string;
  readonly terminationLogPath: string;
  /** Something that the pod asked for and doesn't get. */
  readonly shortfall: string | undefined;
  /** Gives a command the container's user, variables and directory; for exec. */
  readonly asContainer: (
    command: readonly string[],
    extra?: Readonly<Record<string, string>>,
  ) => readonly string[];
}

/** Everything that a run needs from the pod. */
export interface ContainerRun {
  readonly prepared: PreparedContainer;
  readonly netns: string | undefined;
  readonly hostPid: boolean;
  readonly hostUts: boolean;
  readonly cgroupJoinFile: string | undefined;
}

const DEFAULT_TERMINATION_LOG = '/dev/termination-log';

/**
 * Turns a container's specification into the script that becomes it.
 * @throws WEFT2062 for an unknown image, WEFT2064 for a specification that can't be met
 */
export async function prepareContainer(
  { api, images, privileges, services }: ContainerSetupOptions,
  pod: Pod,
  container: Container,
  directory: string,
  parts: { readonly sandbox: PodSandbox; readonly volumes: PodVolumes; readonly downward: DownwardContext },
): Promise<PreparedContainer> {
  const image = images.resolve(container.image ?? '');
  if (violatesNonRoot(pod, container)) {
    throw new WeftError(
      'WEFT2064',
      'container has runAsNonRoot and local commands run as root unless runAsUser is set',
    );
  }
  const { namespace } = pod.metadata;
  const { downward, sandbox, volumes } = parts;
  const variables = await buildEnvironment(container, podHostname(pod), {
    image: image.env,
    services: serviceEnvironment(services(), namespace, pod.spec.enableServiceLinks !== false),
    configMap: async (name) => {
      const object = await api.configMap(namespace, name);
      return object === undefined ? undefined : asText(configMapData(object));
    },
    secret: async (name) => {
      const object = await api.secret(namespace, name);
      return object === undefined ? undefined : asText(secretData(object));
    },
    field: (path) => fieldValue(pod, path, downward),
    resource: (selector) => resourceValue(pod, container, selector, downward),
  });
  const environment = { HOME: '/root', ...variables };
  const expand = (text: string): string => expandVariables(text, variables);

  const { command = [], args = [] } = container;
  const entryPoint = command.length > 0 ? command : image.command;
  const rest = args.length > 0 ? args : command.length > 0 ? [] : image.args;
  const commandLine = [...entryPoint, ...rest].map(expand);
  if (commandLine.length === 0)
    throw new WeftError('WEFT2064', `image ${container.image} has no command and the container none`);

  await mkdir(join(directory, 'root'), { recursive: true });
  const terminationLogPath = join(directory, 'termination-log');
  await writeFile(terminationLogPath, '');
  await chmod(terminationLogPath, 0o666);

  const file = (source: string, target: string, readOnly = false): ContainerMount => ({
    source,
    target,
    readOnly,
    isDirectory: false,
    followsHost: false,
  });
  const mounts: ContainerMount[] = [
    file(terminationLogPath, container.terminationMessagePath ?? DEFAULT_TERMINATION_LOG),
  ];
  for (const mount of container.volumeMounts ?? []) {
    mounts.push(await volumes.resolveMount(mount, expand(mount.subPathExpr ?? mount.subPath ?? '')));
  }
  // A volume at /etc/hosts is the pod's wish.
  const taken = new Set(mounts.map(({ target }) => target));
  mounts.push(
    ...sandbox.files.filter(({ target }) => !taken.has(target)).map((f) => file(f.source, f.target)),
  );

  const context = container.securityContext ?? {};
  const credentials = decideCredentials(pod, container, privileges);
  const prefix = credentialsPrefix(credentials);
  const workingDir = container.workingDir ?? image.workingDir;
  const script = containerScript({
    rootDir: join(directory, 'root'),
    plan: planRootFilesystem({
      binds: [...image.binds, nodePrefix()],
      allHostFiles: image.hostFiles,
      mounts,
      workingDir,
    }),
    readOnlyRoot: context.readOnlyRootFilesystem === true,
    privileged: context.privileged === true,
    hostPid: pod.spec.hostPID === true,
    hostname: pod.spec.hostNetwork === true ? undefined : podHostname(pod),
    workingDir,
    command: [...prefix, ...withEnvironment(environment, commandLine)],
  });
  const scriptPath = join(directory, 'run.sh');
  await writeFile(scriptPath, script, { mode: 0o600 });
  return {
    scriptPath,
    terminationLogPath,
    shortfall: credentials.shortfall,
    asContainer: (toRun, extra = {}) => [
      ...prefix,
      ...withEnvironment({ ...environment, ...extra }, toRun, workingDir),
    ],
  };
}

function asText(data: ReadonlyMap<string, Buffer>): Readonly<Record<string, string>> {
  return Object.fromEntries([...data].map(([key, value]) => [key, value.toString('utf8')]));
}
