import { Label } from '@weft/api';
import type { Collection, Graph } from '@weft/collections';
import { matchesLabelSelector } from '@weft/kubernetes';
import type { Discovery } from '../sources/discovery-gate.ts';
import type { NamespaceFacts } from '../sources/facts.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { ProxyDefaults } from './proxy-defaults.ts';
import type { WaypointSettings } from './waypoint-settings.ts';
import {
  type Mesh,
  type MeshConfigReport,
  type MeshSettings,
  meshConfigReport,
  parseMeshConfig,
} from './mesh.ts';

export interface MeshGraph {
  readonly mesh: Collection<Mesh>;
  readonly meshSettings: Collection<MeshSettings>;
  readonly meshConfigReports: Collection<MeshConfigReport>;
  readonly waypointSettings: Collection<WaypointSettings>;
  readonly proxyDefaults: Collection<ProxyDefaults>;
  readonly discovery: Collection<Discovery>;
  /** Of the namespaces that exist, those whose objects are read. */
  readonly discoveredNamespaces: Collection<NamespaceFacts>;
}

/** What the mesh configuration decides. An invalid one throws, so that the last valid one stays in force. */
export function createMeshGraph(
  graph: Graph,
  sources: Pick<Sources, 'meshConfig' | 'namespaces'>,
  { defaultMesh, systemNamespace }: { readonly defaultMesh: Mesh; readonly systemNamespace: string },
): MeshGraph {
  const meshSettings = graph.map('meshSettings', {
    from: sources.meshConfig,
    transform: (text) => parseMeshConfig(text, defaultMesh),
  });
  const meshConfigReports = graph.map('meshConfigReports', {
    from: sources.meshConfig,
    transform: (text) => meshConfigReport(text, defaultMesh),
  });
  const mesh = graph.map('mesh', {
    from: sources.meshConfig,
    uses: { meshSettings, namespaces: sources.namespaces },
    transform: (_text, fetch): Mesh => ({
      ...(fetch.meshSettings.get(MESH_KEY)?.mesh ?? defaultMesh),
      network: fetch.namespaces.get(systemNamespace)?.labels[Label.network] ?? '',
    }),
  });
  const waypointSettings = graph.map('waypointSettings', {
    from: meshSettings,
    transform: ({ waypoints }) => waypoints,
  });
  const proxyDefaults = graph.map('proxyDefaults', {
    from: meshSettings,
    transform: ({ proxies }) => proxies,
  });
  const discovery = graph.map('discovery', {
    from: meshSettings,
    transform: ({ discoverySelectors, mesh: { rootNamespace } }) => ({
      selectors: discoverySelectors,
      always: [rootNamespace, systemNamespace],
    }),
  });
  const discoveredNamespaces = graph.map('discoveredNamespaces', {
    from: sources.namespaces,
    uses: { discovery },
    transform: (namespace, fetch, name) => {
      const { selectors = [], always = [] } = fetch.discovery.get(MESH_KEY) ?? {};
      const isDiscovered =
        selectors.length === 0 ||
        always.includes(name) ||
        selectors.some((selector) => matchesLabelSelector(selector, namespace.labels));
      return isDiscovered ? namespace : undefined;
    },
  });
  return {
    mesh,
    meshSettings,
    meshConfigReports,
    waypointSettings,
    proxyDefaults,
    discovery,
    discoveredNamespaces,
  };
}
