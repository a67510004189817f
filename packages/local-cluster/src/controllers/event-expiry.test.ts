import { expect, it } from '@jest/globals';
import type { Event } from '@weft/kubernetes';
import { expiredEvents, MAX_EVENTS } from './event-expiry.ts';

const now = new Date('2026-01-01T12:00:00Z');
const event = (name: string, lastTimestamp: string): Event => ({
  metadata: { name },
  involvedObject: {},
  lastTimestamp,
});

it('lets events go an hour after they were last seen', () => {
  const events = [event('old', '2026-01-01T10:59:59Z'), event('young', '2026-01-01T11:00:01Z')];
  expect(expiredEvents(events, now).map(({ metadata }) => metadata.name)).toEqual(['old']);
});

it('lets the oldest go early when there are too many', () => {
  const events = Array.from({ length: MAX_EVENTS + 2 }, (_, i) =>
    event(`e${i}`, new Date(now.getTime() - i * 100).toISOString()),
  );
  const names = expiredEvents(events, now).map(({ metadata }) => metadata.name);
  expect(names).toEqual([`e${MAX_EVENTS + 1}`, `e${MAX_EVENTS}`]);
});
