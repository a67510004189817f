import { describe, expect, it } from '@jest/globals';
import { KubernetesError } from '@weft/kubernetes';
import { podByName } from './pod-by-name.ts';

/** Answers with what was asked for. */
function recorder(items: readonly object[] = []) {
  const asked: string[] = [];
  const client = {
    get: async ({ kind }: { kind: string }, name: string, namespace: string) => {
      asked.push(`${kind} ${namespace}/${name}`);
      return { metadata: { name, namespace }, spec: { selector: { matchLabels: { app: name } } } };
    },
    list: async (_: unknown, { namespace, labelSelector }: { namespace: string; labelSelector: string }) => {
      asked.push(`${labelSelector} in ${namespace}`);
      return { items };
    },
  };
  return { asked, client: client as never }; // the client's methods are generic over the resource
}

describe('podByName', () => {
  it.each([
    ['web', ['Pod default/web']],
    ['web.shop', ['Pod shop/web']],
    ['pod/web.shop', ['Pod shop/web']],
    ['deploy/web.shop', ['Deployment shop/web', 'app=web in shop']],
    ['deployment.apps/web', ['Deployment default/web', 'app=web in default']],
    ['ds/ztunnel.istio-system', ['DaemonSet istio-system/ztunnel', 'app=ztunnel in istio-system']],
  ])('reads %s', async (text, expected) => {
    const { asked, client } = recorder([{ metadata: { name: 'web-1' }, status: { phase: 'Running' } }]);
    await podByName(client, text, 'default');
    expect(asked).toEqual(expected);
  });

  it('tells whoever named a Deployment only how to say so', async () => {
    const get = async (): Promise<never> => {
      throw new KubernetesError('GET /api/v1/namespaces/shop/pods/web', 404, {});
    };
    // All of the client that is used.
    await expect(podByName({ get } as never, 'web', 'shop')).rejects.toMatchObject({
      code: 'WEFT1903',
      message: 'there is no pod "web" in namespace shop; deploy/web would mean a pod of that Deployment',
    });
  });

  it('says when nothing of a deployment runs', async () => {
    const { client } = recorder([{ metadata: { name: 'web-1' }, status: { phase: 'Pending' } }]);
    await expect(podByName(client, 'deploy/web', 'shop')).rejects.toMatchObject({
      code: 'WEFT1903',
      message: 'no pod of deploy shop/web is running',
    });
  });
});
