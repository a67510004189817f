import type { envoy, google } from '@weft/api/envoy';
import { durationMs } from '../filters/message.ts';
import { at, invalid } from '../matching/index.ts';

/** New hosts get their share of traffic bit by bit. */
export interface SlowStart {
  readonly windowMs: number;
  readonly aggression: number;
  readonly minimumShare: number;
}

const DEFAULT_MINIMUM_PERCENT = 10;

/** Both forms, of the cluster and of its policy, have these fields. */
interface SlowStartMessage {
  slowStartWindow?: google.protobuf.Duration.$Properties | null;
  aggression?: envoy.config.core.v3.RuntimeDouble.$Properties | null;
  minWeightPercent?: envoy.type.v3.Percent.$Properties | null;
}

/** Undefined: hosts get their share at once. */
export function compileSlowStart(message: SlowStartMessage | null | undefined): SlowStart | undefined {
  return at('slow_start_config', () => {
    const windowMs = durationMs(message?.slowStartWindow) ?? 0;
    if (windowMs === 0) return undefined;
    const aggression = message?.aggression?.defaultValue ?? 1;
    if (aggression <= 0) invalid('must be positive', 'aggression');
    const percent = message?.minWeightPercent?.value ?? DEFAULT_MINIMUM_PERCENT;
    return { windowMs, aggression, minimumShare: percent / 100 };
  });
}

/** The part of its weight that a host has `ageMs` after it came, or became healthy. */
export function slowStartShare({ windowMs, aggression, minimumShare }: SlowStart, ageMs: number): number {
  if (ageMs >= windowMs) return 1;
  return Math.max(minimumShare, (Math.max(1, ageMs) / windowMs) ** (1 / aggression));
}
