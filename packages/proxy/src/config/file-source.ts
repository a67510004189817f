import { readFileSync, watch, type FSWatcher } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { envoyFromJson } from '@weft/api/envoy-json';
import type { ResourceConsumer, ResourcePush } from '@weft/xds';
import { describeError, type Logger } from '@weft/telemetry';

/** Editors and `kubectl` write a file in several steps. */
const SETTLE_MS = 50;
const NAME_FIELDS = ['name', 'cluster_name', 'clusterName'];

/**
 * A `path_config_source`: a DiscoveryResponse as YAML or JSON in a file, read again whenever its directory changes
 * there. A file that can't be read or used leaves the last good one in force.
 */
export class FileSource {
  private readonly file: string;
  private readonly consumer: ResourceConsumer;
  private readonly logger: Logger;
  private readonly watcher: FSWatcher;
  private timer: NodeJS.Timeout | undefined;
  private known = new Set<string>();

  constructor(o: {
    readonly path: string;
    /** Where a change of the file is seen; its own directory unless told. */
    readonly watchedDirectory?: string;
    readonly consumer: ResourceConsumer;
    readonly logger: Logger;
  }) {
    this.file = o.path;
    this.consumer = o.consumer;
    this.logger = o.logger;
    this.watcher = watch(o.watchedDirectory ?? path.dirname(o.path), { persistent: false }, () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.read(), SETTLE_MS);
    });
    this.watcher.on('error', (error) => {
      this.logger.warn('cannot watch', { path: this.file, error: describeError(error) });
    });
  }

  /** Reads the file now; later changes are read by themselves. Rejections are logged. */
  async read(): Promise<void> {
    try {
      const push = this.push(readFileSync(this.file, 'utf8'));
      const rejections = await this.consumer.receive(push, new AbortController().signal);
      for (const { name, reason } of rejections) {
        this.logger.error('resource rejected', { path: this.file, resource: name, reason });
      }
      const refused = new Set(rejections.map(({ name }) => name));
      this.known = new Set([
        ...push.resources
          .map(({ name }) => name)
          .filter((name) => !refused.has(name) || this.known.has(name)),
      ]);
    } catch (error) {
      this.logger.error('configuration file rejected', { path: this.file, error: describeError(error) });
    }
  }

  close(): void {
    clearTimeout(this.timer);
    this.watcher.close();
  }

  private push(text: string): ResourcePush {
    const response: unknown = parse(text);
    const stated = fieldOf(response, 'version_info') ?? fieldOf(response, 'versionInfo');
    const version = typeof stated === 'string' ? stated : '';
    const listed = fieldOf(response, 'resources');
    const typeName = this.consumer.typeUrl.slice(this.consumer.typeUrl.lastIndexOf('/') + 1);
    const resources = (Array.isArray(listed) ? listed : []).map((resource: unknown, i) => {
      if (typeof resource !== 'object' || resource === null) throw new Error(`resources[${i}] is no object`);
      const { '@type': type, ...json } = resource as Record<string, unknown>; // any object is one
      if (type !== this.consumer.typeUrl) throw new Error(`resources[${i}] is a ${String(type)}`);
      const name = NAME_FIELDS.map((field) => fieldOf(json, field)).find(
        (value) => typeof value === 'string',
      );
      return { name: typeof name === 'string' ? name : '', version, bytes: envoyFromJson(typeName, json) };
    });
    const present = new Set(resources.map(({ name }) => name));
    const removed =
      this.consumer.follows === 'all' ? [...this.known].filter((name) => !present.has(name)) : [];
    return { version, resources, removed };
  }
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
}
