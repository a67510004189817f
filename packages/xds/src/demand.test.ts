import { expect, it } from '@jest/globals';
import { Demand, MAX_DEMANDED_NAMES } from './demand.ts';

function watched() {
  const sent: string[] = [];
  const demand = new Demand();
  demand.watch({
    subscribe: (name) => sent.push(`+${name}`),
    unsubscribe: (name) => sent.push(`-${name}`),
  });
  return { demand, sent };
}

it('asks once for a name, whoever needs it, and answers all of them', async () => {
  const { demand, sent } = watched();
  const both = Promise.all([demand.ask('a'), demand.ask('a')]);
  demand.told('b', 'present');
  demand.told('a', 'absent');
  await both;
  await demand.ask('a');
  expect(sent).toEqual(['+a']);
});

it('gives up names that turned out to be nothing when there are too many, and no others', async () => {
  const { demand, sent } = watched();
  void demand.ask('pending');
  for (let i = 1; i < MAX_DEMANDED_NAMES; i++) {
    void demand.ask(`name-${i}`);
    demand.told(`name-${i}`, i === 3 ? 'absent' : 'present');
  }
  expect(sent).toHaveLength(MAX_DEMANDED_NAMES);
  void demand.ask('one more');
  expect(sent.slice(MAX_DEMANDED_NAMES)).toEqual(['+one more', '-name-3']);
});
