import { resources, type Event, type KubernetesClient } from '@weft/kubernetes';
import { describeError, type Logger } from '@weft/telemetry';

export const EVENT_TTL_MS = 60 * 60_000;
/** Beyond this the oldest go early: a crash loop must not fill the store. */
export const MAX_EVENTS = 5_000;
export const SWEEP_INTERVAL_MS = 60_000;

/** The events that have to go: those older than the limit, and the oldest of too many. */
export function expiredEvents(events: readonly Event[], now: Date): readonly Event[] {
  const byAge = events.map((event) => ({ event, at: lastSeen(event) })).sort((a, b) => a.at - b.at);
  const surplus = Math.max(0, byAge.length - MAX_EVENTS);
  return byAge
    .filter(({ at }, index) => index < surplus || at < now.getTime() - EVENT_TTL_MS)
    .map(({ event }) => event);
}

/** Removes expired events from time to time until the signal. */
export function sweepEvents(client: KubernetesClient, logger: Logger, signal: AbortSignal): void {
  const timer = setInterval(() => {
    sweep(client, signal).catch((error: unknown) => {
      if (!signal.aborted) logger.warn('events were not swept', { error: describeError(error) });
    });
  }, SWEEP_INTERVAL_MS);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

async function sweep(client: KubernetesClient, signal: AbortSignal): Promise<void> {
  const { items } = await client.list(resources.events, { signal });
  for (const { metadata } of expiredEvents(items, new Date())) {
    await client.delete(resources.events, metadata.name ?? '', metadata.namespace, { signal });
  }
}

function lastSeen(event: Event): number {
  return (
    Date.parse(event.lastTimestamp ?? event.firstTimestamp ?? event.metadata.creationTimestamp ?? '') || 0
  );
}
