import { describeError } from '@weft/telemetry';
import type { ResourceConsumer } from '@weft/xds';
import type { StatsScope } from '../engine/types.ts';
import { reasonOf } from './watched-resources.ts';

/**
 * A type that is followed as a whole: LDS, CDS. Good resources of a push are applied even when others are refused.
 * `onPush` runs after each push.
 */
export function collectionConsumer(o: {
  readonly typeUrl: string;
  readonly apply: (bytes: Uint8Array, versionInfo: string) => void;
  readonly remove: (name: string) => void;
  readonly onPush: (version: string) => void;
  /** `cluster_manager.cds`, `listener_manager.lds`. */
  readonly stats: StatsScope;
}): ResourceConsumer {
  return {
    typeUrl: o.typeUrl,
    follows: 'all',
    receive: (push) => {
      o.stats.counter('update_attempt').add();
      for (const name of push.removed) o.remove(name);
      const rejections = push.resources.flatMap(({ name, bytes, version }) => {
        try {
          o.apply(bytes, version || push.version);
          return [];
        } catch (error) {
          return [{ name, reason: reasonOf(error) || describeError(error) }];
        }
      });
      o.stats.counter(rejections.length === 0 ? 'update_success' : 'update_rejected').add();
      o.onPush(push.version);
      return rejections;
    },
  };
}
