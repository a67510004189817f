import { describe, expect, it } from '@jest/globals';
import { KubernetesError, type KubernetesObject } from '@weft/kubernetes';
import type { NriPod } from '../nri/nri-session.ts';
import { enrolNriPod, type NriPodsOptions } from './nri-pods.ts';

const signal = new AbortController().signal;
const pod: NriPod = {
  uid: 'u',
  name: 'p',
  namespace: 'shop',
  netns: '/self/ns/net',
  addresses: ['10.0.0.5'],
};

/** An agent to which everything in namespace `shop` belongs. */
function node(objects: Readonly<Record<string, unknown>>): {
  options: NriPodsOptions;
  enrolled: { name: string | undefined; addresses: readonly string[] }[];
  asked: string[];
} {
  const enrolled: { name: string | undefined; addresses: readonly string[] }[] = [];
  const asked: string[] = [];
  const options: NriPodsOptions = {
    client: {
      get: <T extends KubernetesObject>(_type: unknown, name: string) => {
        asked.push(name);
        const found = objects[name];
        return found === undefined
          ? Promise.reject(new KubernetesError('GET', 404, {}))
          : Promise.resolve(found as T); // the test's own objects
      },
    },
    agent: {
      enrolNewPod: (object, _namespace, netns, addresses) => {
        enrolled.push({ name: object.metadata.name, addresses });
        netns.close();
        return Promise.resolve('enrolled');
      },
    },
    policy: {
      selectors: [{ podSelector: {}, namespaceSelector: { matchLabels: { mesh: 'on' } } }],
      excludedNamespaces: new Set(['kube-system']),
      systemNamespace: 'istio-system',
    },
    config: {
      podNamespace: 'istio-system',
      excludedNamespaces: ['kube-system'],
      hostRoot: '/proc',
      procDir: '/nowhere',
      netnsDir: '/nowhere',
    },
  };
  return { options, enrolled, asked };
}
const shop = {
  shop: { metadata: { name: 'shop', labels: { mesh: 'on' } } },
  p: { metadata: { name: 'p', namespace: 'shop' }, spec: {} },
};

describe('a new pod that the runtime tells of by NRI', () => {
  it('is redirected before it starts', async () => {
    const { options, enrolled } = node(shop);
    await enrolNriPod(options, pod, signal);
    expect(enrolled).toEqual([{ name: 'p', addresses: ['10.0.0.5'] }]);
  });

  it('has its addresses read from its network namespace when the runtime does not tell them', async () => {
    const { options, enrolled } = node(shop);
    const addressesIn = (): string[] => ['10.0.0.6'];
    await enrolNriPod({ ...options, addressesIn }, { ...pod, addresses: [] }, signal);
    expect(enrolled).toEqual([{ name: 'p', addresses: ['10.0.0.6'] }]);
  });

  it.each([
    ['the agent’s own', { namespace: 'istio-system', name: 'istio-cni-node-x' }],
    ['of an excluded namespace', { namespace: 'kube-system' }],
  ])('passes without a question when it is %s', async (_what, where) => {
    const { options, enrolled, asked } = node(shop);
    await enrolNriPod(options, { ...pod, ...where }, signal);
    expect({ enrolled, asked }).toEqual({ enrolled: [], asked: [] });
  });

  it.each([
    ['is not labelled', { ...shop, shop: { metadata: { name: 'shop' } } }],
    ['uses the network of the node', { ...shop, p: { ...shop.p, spec: { hostNetwork: true } } }],
    ['was deleted meanwhile', { shop: shop.shop }],
  ])('passes when it %s', async (_what, objects) => {
    const { options, enrolled } = node(objects);
    await enrolNriPod(options, { ...pod, netns: undefined }, signal);
    expect(enrolled).toEqual([]);
  });

  it('does not start when its network namespace is not found', async () => {
    const { options } = node(shop);
    await expect(enrolNriPod(options, { ...pod, netns: undefined }, signal)).rejects.toMatchObject({
      code: 'WEFT1704',
    });
  });

  it('does not start when the API server does not answer', async () => {
    const { options } = node(shop);
    const client = { get: () => Promise.reject(new Error('refused')) };
    await expect(enrolNriPod({ ...options, client }, pod, signal)).rejects.toThrow('refused');
  });
});
