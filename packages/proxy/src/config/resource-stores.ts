import { envoy } from '@weft/api/envoy';
import type { Clock, Logger } from '@weft/telemetry';
import type { ResourceConsumer } from '@weft/xds';
import type {
  EndpointProvider,
  RouteProvider,
  Secret,
  SecretProvider,
  SecretReference,
} from '../engine/types.ts';
import { dataSourceText } from '../upstream/config/tls-context.ts';
import { ConfigError } from '../engine/types.ts';
import type { Embedding } from '../engine/embedding.ts';
import { durationMs } from '../filters/message.ts';
import { checkFields, type UnknownFieldListener } from '../field-support/check-fields.ts';
import { FileSource } from './file-source.ts';
import { TYPE_PREFIX } from './typed-config.ts';
import { WatchedResources, type ResourceWatcher } from './watched-resources.ts';

const { ConfigSource } = envoy.config.core.v3;
const { Secret: SecretMessage, CertificateValidationContext } = envoy.extensions.transport_sockets.tls.v3;

export const ENDPOINTS = `${TYPE_PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment`;
export const ROUTES = `${TYPE_PREFIX}envoy.config.route.v3.RouteConfiguration`;
export const SECRETS = `${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`;

const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000;

export interface ResourceStoresOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly secretServers: NonNullable<Embedding['secretServers']>;
  /** Tells ADS what is wanted. */
  readonly onNames: (typeUrl: string, names: readonly string[]) => void;
  readonly onUnknownField: UnknownFieldListener;
}

/** The resources that others refer to by name, from ADS, from files, from the process itself or from the bootstrap. */
export class ResourceStores {
  readonly ads: {
    readonly endpoints: WatchedResources;
    readonly routes: WatchedResources;
    readonly secrets: WatchedResources;
  };
  private readonly o: ResourceStoresOptions;
  private readonly staticSecrets = new Map<string, Secret>();
  /** Secrets as they were last given out, by name, for the admin interface. */
  private readonly givenOut = new Map<
    string,
    { readonly secret: Secret; readonly atMs: number; readonly local: boolean }
  >();
  private readonly files = new Map<
    string,
    { readonly store: WatchedResources; readonly source: FileSource }
  >();

  constructor(options: ResourceStoresOptions) {
    this.o = options;
    const { clock } = options;
    const followed = (typeUrl: string): WatchedResources =>
      new WatchedResources({
        typeUrl,
        clock,
        onNames: (names) => options.onNames(typeUrl, names),
        check: (name, bytes) => this.check(typeUrl, name, bytes),
      });
    this.ads = {
      endpoints: followed(ENDPOINTS),
      routes: followed(ROUTES),
      secrets: followed(SECRETS),
    };
  }

  get consumers(): readonly ResourceConsumer[] {
    return [this.ads.endpoints, this.ads.routes, this.ads.secrets];
  }

  /** @throws ConfigError */
  addStaticSecret(message: envoy.extensions.transport_sockets.tls.v3.Secret.$Properties): void {
    const name = message.name ?? '';
    const bytes = SecretMessage.encode(message).finish();
    this.check(SECRETS, name, bytes);
    this.staticSecrets.set(name, secretOf(bytes, name));
  }

  readonly endpoints: EndpointProvider = {
    watch: (o) => this.follow(this.ads.endpoints, o.configSource, o.name, o),
  };

  readonly routes: RouteProvider = {
    watch: (o) => this.follow(this.ads.routes, o.configSource, o.name, o),
  };

  readonly secrets: SecretProvider = {
    watch: (reference, onChange, onMissing = () => undefined) =>
      this.watchSecret(reference, onChange, onMissing),
  };

  /** Of the bootstrap and of the process itself, as Secret messages. */
  *localSecrets(): IterableIterator<{
    readonly name: string;
    readonly bytes: Uint8Array;
    readonly lastUpdatedMs: number;
  }> {
    for (const [name, { secret, atMs, local }] of this.givenOut) {
      if (local) yield { name, bytes: secretMessage(name, secret), lastUpdatedMs: atMs };
    }
  }

  /** Certificates in use, each with the roots that go by the name of the mesh's. */
  *certificates(): IterableIterator<{
    readonly name: string;
    readonly chainPem: string;
    readonly caPem?: string;
  }> {
    for (const [name, { secret }] of this.givenOut) {
      if (secret.kind === 'certificate') yield { name, chainPem: secret.chainPem };
      if (secret.kind !== 'validation') continue;
      const caPem = dataSourceText(CertificateValidationContext.decode(secret.context).trustedCa);
      if (caPem !== undefined) yield { name, chainPem: '', caPem };
    }
  }

  close(): void {
    for (const { source } of this.files.values()) source.close();
    this.files.clear();
  }

  private check(typeUrl: string, resource: string, bytes: Uint8Array): void {
    checkFields(typeUrl.slice(TYPE_PREFIX.length), bytes, { resource, onUnknown: this.o.onUnknownField });
  }

  private watchSecret(
    reference: SecretReference,
    inform: (secret: Secret) => void,
    onMissing: () => void,
  ): () => void {
    const { name, sdsConfig } = reference;
    const server = sdsConfig === undefined ? undefined : this.secretServer(sdsConfig);
    const local = sdsConfig === undefined || server !== undefined;
    const onChange = (secret: Secret): void => {
      this.givenOut.set(name, { secret, local, atMs: this.o.clock.now() });
      inform(secret);
    };
    if (sdsConfig === undefined) {
      const secret = this.staticSecrets.get(name);
      let wanted = true;
      queueMicrotask(() => {
        if (!wanted) return;
        if (secret === undefined) onMissing();
        else onChange(secret);
      });
      return () => {
        wanted = false;
      };
    }
    if (server !== undefined) return server.watch(name, onChange);
    return this.follow(this.ads.secrets, sdsConfig, name, {
      check: (bytes) => void secretOf(bytes, name),
      onChange: (bytes) => onChange(secretOf(bytes, name)),
      onMissing,
    });
  }

  private secretServer(sdsConfig: Uint8Array) {
    const source = ConfigSource.decode(sdsConfig);
    for (const service of source.apiConfigSource?.grpcServices ?? []) {
      const server = this.o.secretServers.get(service.envoyGrpc?.clusterName ?? '');
      if (server !== undefined) return server;
    }
    return undefined;
  }

  private follow(
    ads: WatchedResources,
    configSource: Uint8Array,
    name: string,
    watcher: ResourceWatcher,
  ): () => void {
    const source = ConfigSource.decode(configSource);
    const timeoutMs = durationMs(source.initialFetchTimeout) ?? DEFAULT_INITIAL_FETCH_TIMEOUT_MS;
    switch (source.configSourceSpecifier) {
      case 'ads':
      case 'self':
        return ads.watch(name, timeoutMs, watcher);
      case 'path':
        return this.file(ads.typeUrl, source.path ?? '').watch(name, timeoutMs, watcher);
      case 'pathConfigSource': {
        const { path, watchedDirectory } = source.pathConfigSource ?? {};
        return this.file(ads.typeUrl, path ?? '', watchedDirectory?.path ?? undefined).watch(
          name,
          timeoutMs,
          watcher,
        );
      }
      default:
        throw new ConfigError(
          name,
          '',
          `config source ${source.configSourceSpecifier ?? 'without kind'} is not supported; use ads or a path`,
        );
    }
  }

  private file(typeUrl: string, path: string, watchedDirectory?: string): WatchedResources {
    const key = `${typeUrl} ${path}`;
    let entry = this.files.get(key);
    if (entry === undefined) {
      const { clock, logger } = this.o;
      const holder: { source?: FileSource } = {};
      const store = new WatchedResources({
        typeUrl,
        clock,
        onNames: () => void holder.source?.read(),
        check: (resource, bytes) => this.check(typeUrl, resource, bytes),
      });
      const source = new FileSource({
        path,
        consumer: store,
        logger,
        ...(watchedDirectory === undefined ? {} : { watchedDirectory }),
      });
      holder.source = source;
      entry = { store, source };
      this.files.set(key, entry);
    }
    return entry.store;
  }
}

/** @throws ConfigError naming the field */
function secretOf(bytes: Uint8Array, name: string): Secret {
  const message = SecretMessage.decode(bytes);
  try {
    switch (message.type) {
      case 'tlsCertificate': {
        const chainPem = dataSourceText(message.tlsCertificate?.certificateChain);
        const keyPem = dataSourceText(message.tlsCertificate?.privateKey);
        if (chainPem === undefined || keyPem === undefined) {
          throw new ConfigError(name, 'tls_certificate', 'certificate_chain and private_key are required');
        }
        return { kind: 'certificate', chainPem, keyPem };
      }
      case 'validationContext':
        return {
          kind: 'validation',
          context: CertificateValidationContext.encode(message.validationContext ?? {}).finish(),
        };
      case 'genericSecret':
        return { kind: 'generic', value: Buffer.from(dataSourceText(message.genericSecret?.secret) ?? '') };
      default:
        throw new ConfigError(name, '', `${message.type ?? 'a secret without type'} is not supported`);
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(name, '', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function secretMessage(name: string, secret: Secret): Uint8Array {
  switch (secret.kind) {
    case 'certificate': {
      const { chainPem, keyPem } = secret;
      return SecretMessage.encode({
        name,
        type: 'tlsCertificate',
        tlsCertificate: {
          certificateChain: { specifier: 'inlineString', inlineString: chainPem },
          privateKey: { specifier: 'inlineString', inlineString: keyPem },
        },
      }).finish();
    }
    case 'validation':
      return SecretMessage.encode({
        name,
        type: 'validationContext',
        validationContext: CertificateValidationContext.decode(secret.context),
      }).finish();
    case 'generic':
      return SecretMessage.encode({ name }).finish();
  }
}
