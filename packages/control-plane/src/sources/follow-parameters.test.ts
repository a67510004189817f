import { afterEach, expect, it } from '@jest/globals';
import { Graph } from '@weft/collections';
import { KubernetesClient } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { silentLogger } from '@weft/telemetry';
import { yaml } from '../ambient/test-objects.ts';
import { followParameters } from './follow-parameters.ts';
import { gatewayFacts } from './gateway-objects.ts';
import { createSources } from './sources.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const closer of closers.splice(0).reverse()) await closer();
});

const gateway = (reference: string) =>
  gatewayFacts(
    yaml(`{ metadata: { name: wp, namespace: shop }, spec: { infrastructure: { ${reference} } } }`),
  );
const refersTo = (name: string) => gateway(`parametersRef: { group: "", kind: ConfigMap, name: ${name} }`);

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it('reads the ConfigMaps that Gateways refer to, says which are not there, and forgets them with the Gateway', async () => {
  const api = await FakeApiServer.start();
  const stop = new AbortController();
  const graph = new Graph({ onError: () => undefined });
  const sources = createSources(graph);
  graph.build();
  closers.push(
    () => api.close(),
    () => graph.close(),
    () => stop.abort(),
  );
  followParameters({
    client: new KubernetesClient(api.connection),
    graph,
    gateways: sources.gateways,
    configMaps: sources.gatewayParameters,
    logger: silentLogger,
    signal: stop.signal,
  });
  const found = () => {
    graph.flush();
    return sources.gatewayParameters.get('shop/own');
  };
  sources.gateways.set('shop/wp', refersTo('own'));
  await until(() => found()?.kind === 'absent');
  api.put('/api/v1/configmaps', {
    metadata: { name: 'own', namespace: 'shop' },
    data: { service: '{}' },
  } as never); // the fake takes any object
  await until(() => found()?.kind === 'present');
  expect(found()).toMatchObject({ name: 'own', data: { service: '{}' } });
  sources.gateways.set('shop/wp', gateway(''));
  await until(() => found() === undefined);
});
