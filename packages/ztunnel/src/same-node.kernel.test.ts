import { describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';
import type { Transcript } from './testing/same-node.scenario.ts';

/** A node with four pods does the same with its bytes in the process, and by HBONE. */
skipIf(Sandbox.unavailable, describe)('a relay between two pods of a node', () => {
  const transcript = async (engine: string, relay: boolean): Promise<Transcript> => {
    const sandbox = Sandbox.start(new URL('./testing/same-node.scenario.js', import.meta.url));
    try {
      return (await sandbox.call('transcript', engine, relay)) as unknown as Transcript; // as the scenario returns it
    } finally {
      await sandbox.stop();
    }
  };

  it.each(['fast', 'portable'])(
    'shows nobody but the lists of connections that there is no tunnel, on the %s engine',
    async (engine) => {
      const [within, byHbone] = await Promise.all([transcript(engine, true), transcript(engine, false)]);
      expect(within.records).toEqual(byHbone.records);
      // Both ends, in both lists.
      expect(within.protocols).toEqual(Array(4).fill('LOCAL'));
      expect(byHbone.protocols).toEqual(Array(4).fill('HBONE'));
    },
    180_000,
  );
});
