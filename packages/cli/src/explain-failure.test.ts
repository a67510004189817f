import { describe, expect, it } from '@jest/globals';
import { KubernetesError } from '@weft/kubernetes';
import { explainFailure } from './explain-failure.ts';

const missing = (request: string, details?: { name: string; kind: string }) =>
  new KubernetesError(request, 404, { message: 'not found', ...(details && { details }) });

describe('explainFailure', () => {
  it('names the object that is not there', () => {
    const error = missing('GET /api/v1/namespaces/shop', { name: 'shop', kind: 'namespaces' });
    expect(explainFailure(error)).toMatchObject({
      code: 'WEFT1903',
      message: 'there is no namespace "shop"',
    });
  });

  it('names the namespace of an object that has one', () => {
    const error = missing('GET /api/v1/namespaces/shop/pods/cart: not found', { name: 'cart', kind: 'pods' });
    expect(explainFailure(error)).toMatchObject({ message: 'there is no pod "cart" in namespace shop' });
  });

  it('names the API that nobody has installed', () => {
    const error = missing('GET /apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways');
    expect(explainFailure(error)).toMatchObject({
      code: 'WEFT1911',
      message: 'gateway.networking.k8s.io is not defined in this cluster',
    });
  });

  it('leaves everything else as it is', () => {
    const denied = new KubernetesError('GET /api/v1/pods', 403, { message: 'no' });
    expect(explainFailure(denied)).toBe(denied);
    expect(explainFailure('text')).toBe('text');
  });
});
