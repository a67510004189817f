import { describe, expect, it } from '@jest/globals';
import { defaultMesh, parseMeshConfig } from './mesh.ts';
import { MESH_KEY } from '../sources/sources.ts';
import { createMesh } from './test-mesh.ts';
import { type Visibility, visibilityOf } from './visibility.ts';

const defaults = defaultMesh({ trustDomain: 'cluster.local', rootNamespace: 'istio-system' });
const rules = (text: string) =>
  parseMeshConfig(`serviceEntryVisibility: ${text}`, defaults).mesh.serviceEntryVisibility;
const selects = (team: string): string =>
  `matchingRules: [{ namespaceSelector: { matchLabels: { team: ${team} } } }]`;

describe('who sees a ServiceEntry', () => {
  it.each<[string, readonly string[] | undefined, Visibility]>([
    ['{}', undefined, 'PUBLIC'],
    ['{ defaultVisibility: NAMESPACE }', undefined, 'NAMESPACE'],
    ['{ defaultVisibility: NONE }', ['*'], 'NONE'],
    [`{ defaultVisibility: NONE, policies: [{ visibility: PUBLIC, ${selects('a')} }] }`, undefined, 'PUBLIC'],
    [`{ defaultVisibility: NONE, policies: [{ visibility: PUBLIC, ${selects('b')} }] }`, undefined, 'NONE'],
    [
      `{ policies: [{ visibility: NAMESPACE, ${selects('a')} }, { visibility: NONE, ${selects('a')} }] }`,
      undefined,
      'NAMESPACE',
    ],
    ['{}', ['.'], 'NAMESPACE'],
    ['{}', ['own'], 'NAMESPACE'],
    ['{}', ['~'], 'NONE'],
    ['{}', ['other', '.'], 'PUBLIC'],
    ['{ defaultVisibility: NAMESPACE }', ['~'], 'NONE'],
  ])('by %s and exportTo %j: %s', (text, exportTo, expected) => {
    expect(visibilityOf({ namespace: 'own', exportTo }, { team: 'a' }, rules(text))).toBe(expected);
  });

  it.each([
    ['[]', 'serviceEntryVisibility is not a mapping'],
    ['{ defaultVisibility: public }', 'serviceEntryVisibility.defaultVisibility is none of PUBLIC'],
    ['{ policies: {} }', 'serviceEntryVisibility.policies is not a list'],
    ['{ policies: [{}] }', 'serviceEntryVisibility.policies[0].visibility is none of'],
    [
      '{ policies: [{ visibility: NONE, matchingRules: [{}] }] }',
      'policies[0].matchingRules[0].namespaceSelector is not a mapping',
    ],
  ])('refuses the rules %s', (text, message) => {
    expect(() => rules(text)).toThrow(message);
  });

  it('follows the mesh configuration and the labels of namespaces, keeping the last valid configuration', () => {
    const mesh = createMesh();
    const configure = (text: string): string[] => {
      mesh.sources.meshConfig.set(MESH_KEY, `serviceEntryVisibility: ${text}`);
      return mesh.flush();
    };
    const namespace = (team: string): string =>
      `{ kind: Namespace, metadata: { name: shop, labels: { team: ${team} } } }`;
    mesh.apply(
      namespace('a'),
      '{ kind: ServiceEntry, metadata: { name: e, namespace: shop }, spec: { hosts: [e.example.org], resolution: DNS, ports: [{ name: a, number: 80 }] } }',
    );
    const resources = [
      'Kubernetes/networking.istio.io/ServiceEntry/shop/e/e.example.org',
      'shop/e.example.org',
    ];
    const gone = resources.map((name) => `-${name}`);
    expect(configure(`{ policies: [{ visibility: NONE, ${selects('a')} }] }`)).toEqual(gone);
    expect(configure('{ defaultVisibility: nonsense }')).toEqual([]);
    expect(mesh.errors).toEqual(['meshSettings/mesh']);
    expect(mesh.apply(namespace('b'))).toEqual(resources);
    expect(configure('{ defaultVisibility: NAMESPACE }')).toEqual(['shop/e.example.org']);
    expect(mesh.service('shop/e.example.org')).toMatchObject({ visibility: 1 });
  });
});
