import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { table, type Case } from './testing/differential/cases.ts';
import { exchange } from './testing/differential/client.ts';
import { findEnvoy } from './testing/differential/envoy-binary.ts';
import { generate } from './testing/differential/generator.ts';
import { knownDifference } from './testing/differential/known-differences.ts';
import { observe, type Observation } from './testing/differential/observation.ts';
import { peers, ProxyProcess, type Peer } from './testing/differential/proxy-process.ts';
import { Upstreams } from './testing/differential/upstreams.ts';

const SEED = Number(process.env['WEFT_SEED'] ?? 4);
const GENERATED = 400;
const CONCURRENCY = 12;
const LOG_FLUSH_MS = 300;

const envoy = await findEnvoy();
if (envoy.kind === 'missing') console.warn(`skipped: ${envoy.reason}`);

(envoy.kind === 'found' || process.env['CI'] === 'true' ? describe : describe.skip)(
  'the engine, asked what a real Envoy with the same configuration is asked,',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-differential-'));
    const proxies = new Map<Peer, ProxyProcess>();
    const asked: string[] = [];
    let upstreams: Upstreams | undefined;

    beforeAll(async () => {
      if (envoy.kind === 'missing') throw new Error(envoy.reason);
      upstreams = await Upstreams.start();
      for (const peer of peers) {
        const options = { envoy: envoy.path, directory, upstreams: upstreams.ports };
        proxies.set(peer, await ProxyProcess.start(peer, options));
      }
    }, 60_000);
    afterAll(async () => {
      await Promise.all([...proxies.values()].map(async (proxy) => proxy.stop()));
      await upstreams?.stop();
      rmSync(directory, { recursive: true, force: true });
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

    /** Asks both; what differs and isn't known to. */
    async function differences(cases: readonly Case[]): Promise<readonly object[]> {
      const found: object[] = [];
      const queue = cases.map((request, i) => ({ request, id: `${asked.length + i}` }));
      asked.push(...cases.map((request) => request.name));
      const worker = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          const { id, request } = next;
          const [ours, theirs] = await Promise.all([ask('weft', id, request), ask('envoy', id, request)]);
          const same = JSON.stringify(ours) === JSON.stringify(theirs);
          const known = knownDifference(request.name);
          if (same === (known === undefined)) continue;
          found.push(same ? { case: request.name, stale: known } : { case: request.name, ours, theirs });
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
      const lines = (peer: Peer): readonly string[] =>
        readFileSync(proxies.get(peer)?.accessLog ?? '', 'latin1')
          .split('\n')
          .filter((line) => /^\d/.test(line));
      const ours = lines('weft');
      const theirs = new Set(lines('envoy'));
      const different = ours.filter((line) => !theirs.has(line));
      expect(different).toEqual([]);
    });

    it('leaves both running', () => {
      expect([...proxies.values()].map((proxy) => proxy.alive)).toEqual([true, true]);
    });
  },
);
