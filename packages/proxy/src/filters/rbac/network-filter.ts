import { envoy } from '@weft/api/envoy';
import type { NetworkFilterFactory, StreamInfo } from '../../engine/types.ts';
import { compileMessage, mergeMetadata } from '../message.ts';
import { compileRules, denialDetails, enforcedMetadata, shadowMetadata } from './engine.ts';
import { rbacStats } from './stats.ts';

const NAME = 'envoy.filters.network.rbac';

/**
 * `envoy.filters.network.rbac`. Envoy decides at the client's first byte, so a denied client that stays silent still
 * makes the upstream connect and reads its banner; no rule needs data, so this one decides before anything connects.
 */
export const networkRbac: NetworkFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC'],
  compile(config, context) {
    const { RBAC } = envoy.extensions.filters.network.rbac.v3;
    const { rules, stats } = compileMessage(RBAC, config, context, (message) => {
      const rules = compileRules(message);
      // The API asks for a prefix that ends with a dot (`tcp.`).
      const prefix = (message.statPrefix ?? '').replace(/\.$/, '');
      const { stats } = context.engine;
      return { rules, stats: rbacStats(prefix === '' ? stats : stats.scope(prefix), rules) };
    });

    const onNewConnection = (_connection: unknown, info: StreamInfo): 'continue' | 'close' => {
      if (rules.shadow !== undefined) {
        const verdict = rules.shadow(info);
        mergeMetadata(info.dynamicMetadata, NAME, shadowMetadata(rules, verdict));
        (verdict.allowed ? stats.shadowAllowed : stats.shadowDenied).add();
      }
      if (rules.enforced === undefined) return 'continue';
      const verdict = rules.enforced(info);
      mergeMetadata(info.dynamicMetadata, NAME, enforcedMetadata(verdict));
      (verdict.allowed ? stats.allowed : stats.denied).add();
      if (verdict.allowed) return 'continue';
      info.connection.terminationDetails = denialDetails(verdict);
      info.terminationDetails = denialDetails(verdict);
      return 'close';
    };
    return { kind: 'filter', create: () => ({ onNewConnection }) };
  },
};
