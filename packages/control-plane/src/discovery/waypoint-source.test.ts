import { Graph } from '@weft/collections';
import type { ResourceChange } from '@weft/xds';
import { expect, it } from '@jest/globals';
import { encoded } from '../ambient/resources.ts';
import type { ResourceSet } from '../networking/networking-graph.ts';
import { WaypointSource } from './waypoint-source.ts';

const setOf = (content: Readonly<Record<string, string>>): ResourceSet =>
  new Map(Object.entries(content).map(([name, text]) => [name, encoded(name, Buffer.from(text))]));

function start() {
  const graph = new Graph({ onError: () => undefined });
  const sets = graph.source<ResourceSet>('sets');
  graph.build();
  const source = new WaypointSource('type', graph, sets, 'shop/wp');
  const changes: ResourceChange[] = [];
  const unsubscribe = source.subscribe((change) => void changes.push(change));
  const set = (key: string, content: Readonly<Record<string, string>> | undefined): readonly string[] => {
    if (content === undefined) sets.delete(key);
    else sets.set(key, setOf(content));
    graph.flush();
    return changes
      .splice(0)
      .flatMap(({ upserted, removed }) => [
        ...upserted.map(({ name }) => name),
        ...removed.map((name) => `-${name}`),
      ]);
  };
  return { source, set, unsubscribe };
}

it('tells what changed of its waypoint, by name, and nothing of others', () => {
  const { source, set } = start();
  expect(set('shop/wp', { a: '1', b: '1' })).toEqual(['a', 'b']);
  expect(set('shop/other', { a: '2' })).toEqual([]);
  expect(set('shop/wp', { a: '1', b: '2', c: '1' })).toEqual(['b', 'c']);
  expect([...source.list()].map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(source.get('b')?.version).toBe(encoded('b', Buffer.from('2')).version);
  expect(set('shop/wp', { a: '1' })).toEqual(['-b', '-c']);
  expect(set('shop/wp', { a: '1' })).toEqual([]);
});

it('takes everything back with the waypoint, and says no more once nobody listens', () => {
  const { source, set, unsubscribe } = start();
  set('shop/wp', { a: '1' });
  expect(set('shop/wp', undefined)).toEqual(['-a']);
  expect([...source.list()]).toEqual([]);
  expect(source.get('a')).toBeUndefined();
  unsubscribe();
  expect(set('shop/wp', { a: '1' })).toEqual([]);
});
