import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import type { Clock } from '@weft/telemetry';
import type { KubeletApi, ServiceAccountToken } from '../api.ts';
import type { DownwardContext } from '../downward.ts';
import type { Pod, TokenProjection, Volume, VolumeMount } from '../pod.ts';
import { isMountPoint } from '../sandbox/mount-points.ts';
import type { ContainerMount } from '../sandbox/root-filesystem.ts';
import { writeAtomically } from './atomic-writer.ts';
import { volumeFiles } from './volume-files.ts';

const run = promisify(execFile);

/** The API server gives none that is shorter. */
const MIN_TOKEN_SECONDS = 600;
const DEFAULT_TOKEN_SECONDS = 3607;
/** The share of a token's life after which it is replaced. */
const TOKEN_REFRESH_SHARE = 0.8;
const DEFAULT_MEMORY_VOLUME_SIZE = '1g';

interface KeptToken extends ServiceAccountToken {
  readonly refreshAtMs: number;
}

/** The volumes of one pod, below the pod's directory. */
export class PodVolumes {
  private readonly directory: string;
  private readonly api: KubeletApi;
  private readonly clock: Clock;
  private readonly tokens = new Map<string, KeptToken>();
  /** Where each volume lies on the node. */
  private readonly paths = new Map<string, string>();
  private readonly tmpfs = new Set<string>();

  constructor(podDirectory: string, api: KubeletApi, clock: Clock) {
    this.directory = join(podDirectory, 'volumes');
    this.api = api;
    this.clock = clock;
  }

  /** Makes what is missing, and renews files made from objects. Throws WEFT2065; then it is to be tried again. */
  async setUp(pod: Pod, downward: DownwardContext): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      try {
        await this.setUpVolume(pod, volume, downward);
      } catch (error) {
        throw new WeftError('WEFT2065', `MountVolume.SetUp failed for volume "${volume.name}"`, {
          cause: error,
        });
      }
    }
  }

  /** Renews the files that are made from objects, tokens among them. */
  async refresh(pod: Pod, downward: DownwardContext): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      if (this.paths.has(volume.name)) await this.writeFiles(pod, volume, downward);
    }
  }

  /** What to mount for a container's `volumeMount`. `subPath` is already expanded. */
  async resolveMount(mount: VolumeMount, subPath: string): Promise<ContainerMount> {
    const volume = this.paths.get(mount.name);
    if (volume === undefined)
      throw new WeftError('WEFT2064', `volume ${mount.name} of a mount is not in the pod`);
    const source = subPath === '' ? volume : await resolveSubPath(volume, subPath);
    return {
      source,
      target: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      isDirectory: (await stat(source)).isDirectory(),
      readOnly: mount.readOnly === true,
      followsHost: mount.mountPropagation === 'HostToContainer' || mount.mountPropagation === 'Bidirectional',
    };
  }

  /** Harmless when repeated. */
  async tearDown(): Promise<void> {
    for (const path of this.tmpfs) await run('umount', ['-n', '-l', path]);
    this.tmpfs.clear();
    this.paths.clear();
    this.tokens.clear();
    await rm(this.directory, { recursive: true, force: true });
  }

  private async setUpVolume(pod: Pod, volume: Volume, downward: DownwardContext): Promise<void> {
    if (await this.writeFiles(pod, volume, downward)) return;
    if (this.paths.has(volume.name)) return;
    if (volume.hostPath !== undefined) {
      const { path, type = '' } = volume.hostPath;
      await checkHostPath(path, type);
      this.paths.set(volume.name, path);
    } else {
      // A volume without a source is an emptyDir.
      await this.makeEmptyDir(pod, volume.name, volume.emptyDir ?? {});
    }
  }

  private async makeEmptyDir(
    pod: Pod,
    name: string,
    { medium = '', sizeLimit }: { readonly medium?: string; readonly sizeLimit?: string },
  ): Promise<void> {
    const path = join(this.directory, 'kubernetes.io~empty-dir', name);
    await mkdir(path, { recursive: true });
    if (medium === 'Memory') {
      // Quantities of tmpfs have no `i`: its k is 1024 already.
      const size =
        sizeLimit === undefined ? DEFAULT_MEMORY_VOLUME_SIZE : sizeLimit.replace(/i$/, '').toLowerCase();
      const options = `size=${size},mode=0777`;
      // It is still there when only the kubelet was restarted.
      if (!(await isMountPoint(path)))
        await run('mount', ['-n', '-t', 'tmpfs', '-o', options, 'weft-volume', path]);
      this.tmpfs.add(path);
    }
    await chmod(path, 0o777);
    const { fsGroup } = pod.spec.securityContext ?? {};
    if (fsGroup !== undefined) {
      // Where the gid isn't mapped every process has gid 0, which owns it already.
      await chown(path, 0, fsGroup).then(
        () => chmod(path, 0o2777),
        () => undefined,
      );
    }
    this.paths.set(name, path);
  }

  private async writeFiles(pod: Pod, volume: Volume, downward: DownwardContext): Promise<boolean> {
    const files = await volumeFiles(pod, volume, {
      api: this.api,
      downward,
      token: (projection) => this.token(pod, `${volume.name}/${projection.path}`, projection),
    });
    if (files === undefined) return false;
    const path = join(this.directory, 'kubernetes.io~projected', volume.name);
    await writeAtomically(path, files);
    this.paths.set(volume.name, path);
    return true;
  }

  private async token(pod: Pod, key: string, projection: TokenProjection): Promise<string> {
    const kept = this.tokens.get(key);
    const now = this.clock.now();
    if (kept !== undefined && now < kept.refreshAtMs) return kept.token;
    try {
      const seconds = Math.max(MIN_TOKEN_SECONDS, projection.expirationSeconds ?? DEFAULT_TOKEN_SECONDS);
      const fresh = await this.api.createToken(pod, projection.audience, seconds);
      const refreshAtMs = now + (fresh.expiresAtMs - now) * TOKEN_REFRESH_SHARE;
      this.tokens.set(key, { ...fresh, refreshAtMs });
      return fresh.token;
    } catch (error) {
      // Better the old one while it lives: the API server may only be restarting.
      if (kept !== undefined && now < kept.expiresAtMs) return kept.token;
      throw error;
    }
  }
}

async function resolveSubPath(volume: string, subPath: string): Promise<string> {
  if (subPath.startsWith('/') || subPath.split('/').includes('..')) {
    throw new WeftError('WEFT2064', `subPath ${subPath} leaves its volume`);
  }
  const path = join(volume, subPath);
  const present = await realpath(path).catch(() => undefined);
  if (present === undefined) {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o777);
    return path;
  }
  const root = await realpath(volume);
  if (present !== root && !present.startsWith(`${root}/`)) {
    throw new WeftError('WEFT2064', `subPath ${subPath} leaves its volume`);
  }
  return present;
}

async function checkHostPath(path: string, type: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) {
    // An unset type asks for no check; container engines then make the directory.
    if (type === '' || type === 'DirectoryOrCreate') {
      await mkdir(path, { recursive: true, mode: 0o755 });
      return;
    }
    if (type === 'FileOrCreate') {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, '', { mode: 0o644, flag: 'a' });
      return;
    }
    throw new WeftError('WEFT2065', `hostPath ${path} does not exist, and its type is ${type}`);
  }
  const matches =
    type === '' ||
    ((type === 'Directory' || type === 'DirectoryOrCreate') && found.isDirectory()) ||
    ((type === 'File' || type === 'FileOrCreate') && found.isFile()) ||
    (type === 'Socket' && found.isSocket()) ||
    (type === 'CharDevice' && found.isCharacterDevice()) ||
    (type === 'BlockDevice' && found.isBlockDevice());
  if (!matches) throw new WeftError('WEFT2065', `hostPath ${path} is not a ${type}`);
}
