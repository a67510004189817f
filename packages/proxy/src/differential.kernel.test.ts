import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { skipIf } from '@weft/linux/testing';
import { table, type Case } from './testing/differential/cases.ts';
import { exchange } from './testing/differential/client.ts';
import { findEnvoy } from './testing/differential/envoy-binary.ts';
import { generate } from './testing/differential/generator.ts';
import { knownDifference } from './testing/differential/known-differences.ts';
import { comparableLog, observe, type Observation } from './testing/differential/observation.ts';
import { peers, ProxyProcess, type Peer } from './testing/differential/proxy-process.ts';
import { Upstreams } from './testing/differential/upstreams.ts';

const SEED = Number(process.env['WEFT_SEED'] ?? 4);
const GENERATED = 400;
const CONCURRENCY = 12;
const LOG_FLUSH_MS = 300;

const envoy = await findEnvoy();

skipIf(envoy.kind === 'missing' ? envoy.reason : undefined, describe)(
  'the engine, asked what a real Envoy with the same configuration is asked,',
  () => {
    let directory = '';
    const proxies = new Map<Peer, ProxyProcess>();
    const asked: string[] = [];
    let upstreams: Upstreams | undefined;

    beforeAll(async () => {
      if (envoy.kind === 'missing') throw new Error(envoy.reason);
      directory = mkdtempSync(join(tmpdir(), 'weft-differential-'));
      upstreams = await Upstreams.start();
      for (const peer of peers) {
        const options = { envoy: envoy.path, directory, upstreams: upstreams.ports };
        proxies.set(peer, await ProxyProcess.start(peer, options));
      }
    }, 60_000);
    afterAll(async () => {
      await Promise.all([...proxies.values()].map(async (proxy) => proxy.stop()));
      await upstreams?.stop();
      if (directory !== '') rmSync(directory, { recursive: true, force: true });
    });

    async function ask(peer: Peer, id: string, request: Case): Promise<Observation> {
      const proxy = proxies.get(peer);
      if (proxy === undefined) throw new Error(`${peer} isn't running`);
      const identity = [
        ['x-case', id],
        ['x-peer', peer],
      ] as const;
      return observe(await exchange(proxy.ports[request.listener], request, identity));
    }

    /** Lines by the number of the case; of a case's several requests the last. */
    function logged(peer: Peer): ReadonlyMap<number, string> {
      const text = readFileSync(proxies.get(peer)?.accessLog ?? '', 'latin1');
      return new Map(
        text
          .split('\n')
          .map((line) => line.split(' '))
          .filter(([id = '']) => /^\d+$/.test(id))
          .map(([id, ...fields]) => [Number(id), comparableLog(fields)]),
      );
    }

    async function compare(request: Case): Promise<object | undefined> {
      const id = String(asked.push(request.name) - 1);
      const [ours, theirs] = await Promise.all([ask('weft', id, request), ask('envoy', id, request)]);
      const same = JSON.stringify(ours) === JSON.stringify(theirs);
      const known = knownDifference(request.name);
      if (same === (known === undefined) || known?.sometimes === true) return undefined;
      return same ? { case: request.name, stale: known?.reason } : { case: request.name, ours, theirs };
    }

    /** Asks both; what differs and isn't known to, or is known to and doesn't. */
    async function differences(cases: readonly Case[]): Promise<readonly object[]> {
      const queue = [...cases];
      const found: object[] = [];
      const worker = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          const difference = await compare(next);
          if (difference !== undefined) found.push(difference);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      return found;
    }

    it.each(Object.entries(table))('%s as Envoy does', async (_, cases) => {
      expect(await differences(cases)).toEqual([]);
    });

    it(`answers generated requests as Envoy does (seed ${SEED})`, async () => {
      expect(await differences(generate(SEED, GENERATED))).toEqual([]);
    });

    it('logs the same route, cluster, flags and details', async () => {
      await new Promise((resolve) => setTimeout(resolve, LOG_FLUSH_MS));
      const ours = logged('weft');
      const theirs = logged('envoy');
      const common = [...ours.keys()].filter(
        (id) => theirs.has(id) && knownDifference(asked[id] ?? '') === undefined,
      );
      expect(common.length).toBeGreaterThan(asked.length * 0.8);
      const different = common
        .map((id) => ({ case: asked[id], ours: ours.get(id), theirs: theirs.get(id) }))
        .filter((line) => line.ours !== line.theirs);
      expect(different).toEqual([]);
    });

    it('leaves both running', () => {
      expect([...proxies.values()].map((proxy) => proxy.alive)).toEqual([true, true]);
    });
  },
);
