import { envoy } from '@weft/api/envoy';
import { describeError, type Logger } from '@weft/telemetry';
import type {
  CompileContext,
  CompiledHttpFilter,
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StatCounter,
  StreamCallbacks,
  StreamInfo,
} from '../../engine/types.ts';
import { at, compileMetadataMatcher, invalid } from '../../matching/index.ts';
import { compileMessage, fraction, mergeMetadata } from '../message.ts';
import { setQuery } from './query.ts';
import { type AuthorizationService, compileService } from './service.ts';
import { applyChanges, ERROR, type HeaderChange, type Verdict } from './verdict.ts';

const NAME = 'envoy.filters.http.ext_authz';
const TYPES = 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3';
const DEFAULT_ERROR_STATUS = 403;

type Config = envoy.extensions.filters.http.ext_authz.v3.ExtAuthz;

/** How much of a body the service is shown. */
interface BodyLimit {
  readonly maxBytes: number;
  readonly allowPartial: boolean;
}

interface RouteConfig {
  readonly disabled: boolean;
  readonly contextExtensions: Readonly<Record<string, string>>;
  /** 'none': the service isn't shown it here. Undefined: as the filter says. */
  readonly body: BodyLimit | 'none' | undefined;
}

interface Compiled {
  readonly name: string;
  readonly ask: AuthorizationService;
  readonly body: BodyLimit | undefined;
  readonly failureModeAllow: boolean;
  readonly failureModeHeader: boolean;
  readonly statusOnError: number;
  readonly clearRouteCache: boolean;
  readonly enabled: number;
  readonly enabledByMetadata: ((info: StreamInfo) => boolean) | undefined;
  readonly denyWhenDisabled: boolean;
  readonly random: () => number;
  readonly logger: Logger;
  readonly stats: Readonly<
    Record<'ok' | 'denied' | 'error' | 'disabled' | 'failureModeAllowed', StatCounter>
  >;
}

/** `envoy.filters.http.ext_authz`: a service of somebody else's decides about each request. */
export const extAuthz: HttpFilterFactory = {
  name: NAME,
  typeUrls: [`${TYPES}.ExtAuthz`],
  routeTypeUrls: [`${TYPES}.ExtAuthzPerRoute`],
  compile: (bytes, context) =>
    compileMessage(envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, bytes, context, (config) =>
      compileFilter(config, context),
    ),
  compileRoute: (bytes, context): RouteConfig =>
    compileMessage(envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, bytes, context, (config) => {
      const settings = config.checkSettings ?? {};
      return {
        disabled: config.disabled === true,
        contextExtensions: settings.contextExtensions ?? {},
        body: settings.disableRequestBodyBuffering === true ? 'none' : bodyLimit(settings.withRequestBody),
      };
    }),
};

function compileFilter(config: Config, context: CompileContext): CompiledHttpFilter {
  const { engine, statPrefix, filterName = NAME } = context;
  const ofManager = statPrefix === undefined ? engine.stats : engine.stats.scope(statPrefix);
  const scope = ofManager.scope(config.statPrefix === '' ? 'ext_authz' : `ext_authz.${config.statPrefix}`);
  const { filterEnabled, filterEnabledMetadata } = config;
  const holds = filterEnabledMetadata
    ? at('filter_enabled_metadata', () => compileMetadataMatcher(filterEnabledMetadata))
    : undefined;
  const compiled: Compiled = {
    name: filterName,
    ask: compileService(config, engine),
    body: bodyLimit(config.withRequestBody),
    failureModeAllow: config.failureModeAllow,
    failureModeHeader: config.failureModeAllowHeaderAdd,
    statusOnError: config.statusOnError?.code || DEFAULT_ERROR_STATUS,
    clearRouteCache: config.clearRouteCache,
    enabled: filterEnabled ? fraction(filterEnabled.defaultValue) : 1,
    enabledByMetadata:
      holds && (({ dynamicMetadata }) => holds((namespace) => dynamicMetadata.get(namespace))),
    denyWhenDisabled: config.denyAtDisable?.defaultValue?.value === true,
    random: () => engine.random(),
    logger: engine.logger,
    stats: {
      ok: scope.counter('ok'),
      denied: scope.counter('denied'),
      error: scope.counter('error'),
      disabled: scope.counter('disabled'),
      failureModeAllowed: scope.counter('failure_mode_allowed'),
    },
  };
  return { create: () => new ExtAuthzFilter(compiled) };
}

function bodyLimit(
  settings: envoy.extensions.filters.http.ext_authz.v3.BufferSettings.$Properties | null | undefined,
): BodyLimit | undefined {
  if (!settings) return undefined;
  const maxBytes = settings.maxRequestBytes ?? 0;
  if (maxBytes === 0) invalid('must be positive', 'with_request_body.max_request_bytes');
  return { maxBytes, allowPartial: settings.allowPartialMessage === true };
}

/** asked ─► allowed ─► the request goes on, the response gets what the service wants;   asked ─► denied, error ─► reply */
class ExtAuthzFilter implements HttpFilter {
  private readonly o: Compiled;
  private readonly controller = new AbortController();
  private onResponse: readonly HeaderChange[] = [];

  constructor(o: Compiled) {
    this.o = o;
  }

  onRequestHeaders(headers: HeaderMap, endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { o } = this;
    // compileRoute of this filter made it; the route table only keeps it.
    const route = callbacks.route()?.filterConfig(o.name) as RouteConfig | undefined;
    if (route?.disabled === true) return 'continue';
    if (!this.isEnabled(callbacks.info)) {
      o.stats.disabled.add();
      if (!o.denyWhenDisabled) return 'continue';
      callbacks.sendLocalReply({ status: o.statusOnError, details: 'ext_authz_error', flag: 'UAEX' });
      return 'stop';
    }
    const limit = route?.body ?? o.body;
    const extensions = route?.contextExtensions ?? {};
    if (limit === undefined || limit === 'none' || endStream) {
      void this.decide(headers, undefined, extensions, callbacks);
      return 'stop';
    }
    callbacks.peekRequestBody(limit.maxBytes, (bytes, complete) => {
      if (complete || limit.allowPartial) {
        void this.decide(headers, { bytes, complete }, extensions, callbacks);
      } else {
        callbacks.sendLocalReply({
          status: 413,
          body: 'Payload Too Large',
          details: 'request_payload_too_large',
        });
      }
    });
    return 'stop';
  }

  onResponseHeaders(headers: HeaderMap): FilterStatus {
    applyChanges(headers, this.onResponse);
    return 'continue';
  }

  onDestroy(): void {
    this.controller.abort();
  }

  private isEnabled(info: StreamInfo): boolean {
    const { enabled, enabledByMetadata, random } = this.o;
    return (enabled >= 1 || random() < enabled) && enabledByMetadata?.(info) !== false;
  }

  private async decide(
    headers: HeaderMap,
    body: { readonly bytes: Buffer; readonly complete: boolean } | undefined,
    contextExtensions: Readonly<Record<string, string>>,
    callbacks: StreamCallbacks,
  ): Promise<void> {
    const { signal } = this.controller;
    const { info } = callbacks;
    let verdict: Verdict;
    try {
      verdict = await this.o.ask({ headers, body, info, contextExtensions, signal });
    } catch (error) {
      if (signal.aborted) return;
      this.o.logger.debug('the authorization service gave no answer', { error: describeError(error) });
      verdict = ERROR;
    }
    if (signal.aborted) return;
    try {
      this.apply(verdict, headers, callbacks);
    } catch (error) {
      // A fault of ours must not leave the request hanging, and never let it through.
      this.o.logger.error('a verdict could not be applied', { error: describeError(error) });
      callbacks.resetStream();
    }
  }

  private apply(verdict: Verdict, headers: HeaderMap, callbacks: StreamCallbacks): void {
    const { o } = this;
    if (verdict.kind !== 'error' && Object.keys(verdict.metadata).length > 0) {
      mergeMetadata(callbacks.info.dynamicMetadata, NAME, verdict.metadata);
    }
    switch (verdict.kind) {
      case 'allowed':
        o.stats.ok.add();
        this.allow(verdict, headers, callbacks);
        return;
      case 'denied': {
        o.stats.denied.add();
        callbacks.sendLocalReply({
          status: verdict.status,
          body: verdict.body,
          details: 'ext_authz_denied',
          flag: 'UAEX',
          headers: verdict.headers.map(({ name, value }) => [name, value] as const),
        });
        return;
      }
      case 'error':
        o.stats.error.add();
        if (!o.failureModeAllow) {
          callbacks.sendLocalReply({ status: o.statusOnError, details: 'ext_authz_error', flag: 'UAEX' });
          return;
        }
        o.stats.failureModeAllowed.add();
        if (o.failureModeHeader) headers.set('x-envoy-auth-failure-mode-allowed', 'true');
        callbacks.continueRequest();
    }
  }

  private allow(
    verdict: Extract<Verdict, { kind: 'allowed' }>,
    headers: HeaderMap,
    callbacks: StreamCallbacks,
  ): void {
    this.onResponse = verdict.response;
    for (const name of verdict.remove) {
      if (name !== '' && !name.startsWith(':') && name.toLowerCase() !== 'host') headers.delete(name);
    }
    applyChanges(headers, verdict.request);
    const path = setQuery(headers.path ?? '/', verdict.query);
    const changed = verdict.request.length > 0 || verdict.remove.length > 0 || path !== headers.path;
    headers.path = path;
    if (this.o.clearRouteCache && changed) callbacks.clearRouteCache();
    callbacks.continueRequest();
  }
}
