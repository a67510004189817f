import type { ConfigMap, Secret } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { KubeletApi } from '../api.ts';
import { fieldValue, resourceValue, type DownwardContext } from '../downward.ts';
import type { DownwardItem, KeyToPath, ObjectProjection, Pod, ProjectedSource, Volume } from '../pod.ts';
import type { VolumeFile, VolumeFiles } from './atomic-writer.ts';

const DEFAULT_MODE = 0o644;

export interface VolumeFileSources {
  readonly api: KubeletApi;
  readonly downward: DownwardContext;
  /** A token that is fresh enough for the projection; kept between calls by the caller. */
  readonly token: (source: NonNullable<ProjectedSource['serviceAccountToken']>) => Promise<string>;
}

/**
 * The files of a volume that is made from objects; undefined for other kinds.
 * @throws WEFT2065 when something that isn't optional is missing
 */
export async function volumeFiles(
  pod: Pod,
  volume: Volume,
  sources: VolumeFileSources,
): Promise<VolumeFiles | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  const files = new Map<string, VolumeFile>();
  if (configMap !== undefined) {
    await addProjection(files, pod, { configMap }, configMap.defaultMode ?? DEFAULT_MODE, sources);
  } else if (secret !== undefined) {
    const { secretName = '', defaultMode = DEFAULT_MODE, ...projection } = secret;
    await addProjection(files, pod, { secret: { ...projection, name: secretName } }, defaultMode, sources);
  } else if (downwardAPI !== undefined) {
    await addProjection(files, pod, { downwardAPI }, downwardAPI.defaultMode ?? DEFAULT_MODE, sources);
  } else if (projected !== undefined) {
    for (const source of projected.sources ?? []) {
      await addProjection(files, pod, source, projected.defaultMode ?? DEFAULT_MODE, sources);
    }
  } else {
    return undefined;
  }
  return files;
}

async function addProjection(
  files: Map<string, VolumeFile>,
  pod: Pod,
  source: ProjectedSource,
  mode: number,
  sources: VolumeFileSources,
): Promise<void> {
  const { namespace } = pod.metadata;
  if (source.configMap !== undefined) {
    const { name = '' } = source.configMap;
    const object = await sources.api.configMap(namespace, name);
    addKeys(
      files,
      `configmap "${name}"`,
      object === undefined ? undefined : configMapData(object),
      source.configMap,
      mode,
    );
  }
  if (source.secret !== undefined) {
    const { name = '' } = source.secret;
    const object = await sources.api.secret(namespace, name);
    addKeys(
      files,
      `secret "${name}"`,
      object === undefined ? undefined : secretData(object),
      source.secret,
      mode,
    );
  }
  for (const item of source.downwardAPI?.items ?? []) {
    files.set(item.path, {
      content: Buffer.from(downwardText(pod, item, sources.downward)),
      mode: item.mode ?? mode,
    });
  }
  if (source.serviceAccountToken !== undefined) {
    const token = await sources.token(source.serviceAccountToken);
    files.set(source.serviceAccountToken.path, { content: Buffer.from(token), mode });
  }
}

function addKeys(
  files: Map<string, VolumeFile>,
  what: string,
  data: ReadonlyMap<string, Buffer> | undefined,
  { items, optional = false }: ObjectProjection,
  mode: number,
): void {
  if (data === undefined) {
    if (optional) return;
    throw new WeftError('WEFT2065', `${what} not found`);
  }
  const chosen: readonly KeyToPath[] = items ?? [...data.keys()].map((key) => ({ key, path: key }));
  for (const item of chosen) {
    const content = data.get(item.key);
    if (content !== undefined) files.set(item.path, { content, mode: item.mode ?? mode });
    else if (!optional) throw new WeftError('WEFT2065', `${what} has no key ${item.key}`);
  }
}

function downwardText(pod: Pod, item: DownwardItem, context: DownwardContext): string {
  if (item.fieldRef !== undefined) return fieldValue(pod, item.fieldRef.fieldPath, context);
  if (item.resourceFieldRef !== undefined)
    return resourceValue(pod, undefined, item.resourceFieldRef, context);
  return '';
}

export function configMapData({ data = {}, binaryData = {} }: ConfigMap): ReadonlyMap<string, Buffer> {
  return new Map([
    ...Object.entries(data).map(([key, text]) => [key, Buffer.from(text)] as const),
    ...Object.entries(binaryData).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const),
  ]);
}

export function secretData({ data = {} }: Secret): ReadonlyMap<string, Buffer> {
  return new Map(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64')] as const));
}
