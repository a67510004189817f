import { describe, expect, it } from '@jest/globals';
import { DeltaDiscoveryRequest, type DeltaRequest, type DeltaRequestFields } from './delta-message.ts';
import { MemorySource } from './resource-source.ts';
import { TypeSubscription } from './type-subscription.ts';

const now = new Date(0);
const request = (fields: DeltaRequestFields = {}): DeltaRequest => DeltaDiscoveryRequest.create(fields);
function subscription(): TypeSubscription {
  return new TypeSubscription({ source: new MemorySource('type.googleapis.com/test.Type') }, 'c1', {});
}

describe('the first request', () => {
  it.each<[string, DeltaRequestFields, boolean, string[]]>([
    ['naming nothing', {}, true, []],
    ['naming *', { resourceNamesSubscribe: ['*'] }, true, []],
    [
      'naming * and giving it up',
      { resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] },
      false,
      [],
    ],
    ['only giving * up', { resourceNamesUnsubscribe: ['*'] }, false, []],
    ['with names', { resourceNamesSubscribe: ['a', 'b'] }, false, ['a', 'b']],
    ['with names and *', { resourceNamesSubscribe: ['a', '*'] }, true, ['a']],
  ])('%s', (_, fields, wildcard, names) => {
    const s = subscription();
    expect(s.begin(request(fields)).kind).toBe('initial');
    expect([s.wildcard, [...s.names]]).toEqual([wildcard, names]);
  });
});

describe('later requests', () => {
  it('are acknowledgements when they carry a nonce of ours', () => {
    const s = subscription();
    s.begin(request());
    expect(s.status.state).toBe('NOT_SENT');
    const [first, second] = [s.nextNonce(now), s.nextNonce(now)];
    s.update(request({ responseNonce: first }), now);
    expect(s.status.state).toBe('STALE');
    s.update(request({ responseNonce: second }), now);
    expect(s.status.state).toBe('SYNCED');
  });

  it.each(['', 'x', 'c1/Type/0', 'c1/Type/9', 'c2/Type/1', 'c1/Type/1.5', 'c1/Other/1'])(
    'with the nonce %j acknowledge nothing',
    (responseNonce) => {
      const s = subscription();
      s.begin(request());
      s.nextNonce(now);
      expect(s.update(request({ responseNonce, errorDetail: { message: 'bad' } }), now)).toEqual({});
      expect(s.status.state).toBe('STALE');
    },
  );

  it('report a rejection until something newer than it is acknowledged', () => {
    const s = subscription();
    s.begin(request());
    const [first, second] = [s.nextNonce(now), s.nextNonce(now)];
    const nack = request({ responseNonce: first, errorDetail: { message: 'a: bad' } });
    expect(s.update(nack, now)).toEqual({ rejected: 'a: bad' });
    s.update(request({ responseNonce: second }), now);
    expect(s.status).toMatchObject({ state: 'ERROR', error: 'a: bad' });
    s.update(request({ responseNonce: s.nextNonce(now) }), now);
    expect(s.status.state).toBe('SYNCED');
  });

  it('demand only the names they add', () => {
    const s = subscription();
    s.begin(request({ resourceNamesSubscribe: ['a'] }));
    const { demand } = s.update(
      request({ resourceNamesSubscribe: ['b'], resourceNamesUnsubscribe: ['a'] }),
      now,
    );
    expect(demand).toEqual({ kind: 'names', names: ['b'] });
    expect([...s.names]).toEqual(['b']);
    expect(s.update(request({ resourceNamesUnsubscribe: ['b'] }), now)).toEqual({});
  });

  it('can widen to everything', () => {
    const s = subscription();
    s.begin(request({ resourceNamesSubscribe: ['a'] }));
    expect(s.update(request({ resourceNamesSubscribe: ['*'] }), now).demand?.kind).toBe('initial');
  });
});
