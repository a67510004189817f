import { envoy } from '@weft/api/envoy';
import type {
  CompileContext,
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StatsScope,
  StreamCallbacks,
} from '../../engine/types.ts';
import { at } from '../../matching/index.ts';
import { compileMessage, mergeMetadata } from '../message.ts';
import { compileRules, denialDetails, enforcedMetadata, shadowMetadata, type RbacRules } from './engine.ts';
import { rbacStats, type RbacStats } from './stats.ts';

const NAME = 'envoy.filters.http.rbac';
const GRPC_PERMISSION_DENIED = 7;

/** `envoy.filters.http.rbac`: 403 `RBAC: access denied` for what the rules don't allow. */
export const httpRbac: HttpFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC'],
  routeTypeUrls: ['type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute'],
  compile(config, context) {
    const { RBAC } = envoy.extensions.filters.http.rbac.v3;
    const scope = httpScope(context);
    const rules = compileMessage(RBAC, config, context, compileRules);
    const stats = rbacStats(scope, rules);
    return { create: () => new RbacFilter({ rules, stats }, scope, context.filterName ?? NAME) };
  },
  compileRoute(config, context): RbacRules {
    const { RBACPerRoute } = envoy.extensions.filters.http.rbac.v3;
    return compileMessage(RBACPerRoute, config, context, ({ rbac }) =>
      at('rbac', () => compileRules(rbac ?? {})),
    );
  },
};

interface Compiled {
  readonly rules: RbacRules;
  readonly stats: RbacStats;
}

class RbacFilter implements HttpFilter {
  private readonly base: Compiled;
  private readonly scope: StatsScope;
  private readonly filterName: string;

  constructor(base: Compiled, scope: StatsScope, filterName: string) {
    this.base = base;
    this.scope = scope;
    this.filterName = filterName;
  }

  onRequestHeaders(_headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { info } = callbacks;
    const { rules, stats } = this.effective(callbacks);
    if (rules.shadow !== undefined) {
      const verdict = rules.shadow(info);
      mergeMetadata(info.dynamicMetadata, NAME, shadowMetadata(rules, verdict));
      (verdict.allowed ? stats.shadowAllowed : stats.shadowDenied).add();
    }
    if (rules.enforced === undefined) return 'continue';
    const verdict = rules.enforced(info);
    mergeMetadata(info.dynamicMetadata, NAME, enforcedMetadata(verdict));
    if (verdict.allowed) {
      stats.allowed.add();
      return 'continue';
    }
    stats.denied.add();
    callbacks.sendLocalReply({
      status: 403,
      body: 'RBAC: access denied',
      details: denialDetails(verdict),
      grpcStatus: GRPC_PERMISSION_DENIED,
    });
    return 'stop';
  }

  private effective(callbacks: StreamCallbacks): Compiled {
    // compileRoute of this filter made it; the route table only keeps it.
    const override = callbacks.route()?.filterConfig(this.filterName) as RbacRules | undefined;
    return override === undefined ? this.base : { rules: override, stats: rbacStats(this.scope, override) };
  }
}

function httpScope(context: CompileContext): StatsScope {
  const { stats } = context.engine;
  return context.statPrefix === undefined ? stats : stats.scope(context.statPrefix);
}
