import type { StatCounter, StatsScope } from '../../engine/types.ts';
import type { RbacRules } from './engine.ts';

export interface RbacStats {
  readonly allowed: StatCounter;
  readonly denied: StatCounter;
  readonly shadowAllowed: StatCounter;
  readonly shadowDenied: StatCounter;
}

/** `<scope>.rbac.[prefix]allowed` and its kin; a configured prefix brings its own separator. */
export function rbacStats(scope: StatsScope, rules: RbacRules): RbacStats {
  const rbac = scope.scope('rbac');
  return {
    allowed: rbac.counter(`${rules.rulesStatPrefix}allowed`),
    denied: rbac.counter(`${rules.rulesStatPrefix}denied`),
    shadowAllowed: rbac.counter(`${rules.shadowStatPrefix}shadow_allowed`),
    shadowDenied: rbac.counter(`${rules.shadowStatPrefix}shadow_denied`),
  };
}
