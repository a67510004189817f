import type { Collection, Graph } from '@weft/collections';
import { type Node, type VersionedResource, nodeMetadata } from '@weft/xds';
import type { EncodedResource } from '../ambient/resources.ts';
import { type AddressDirectory, workloadGroups } from './address-directory.ts';
import { CollectionSource, type CollectionSourceOptions } from './collection-source.ts';

/** What an on-demand client follows without asking: the workloads of its node. */
const onNode = (node: string): string => `node://${node}`;

/**
 * Workloads and services. To an on-demand client a service comes with all its workloads, present and future, since it
 * couldn't choose one otherwise; and whatever runs on the client's node comes unasked.
 */
export class AddressSource extends CollectionSource {
  private readonly directory: AddressDirectory;

  constructor(
    typeUrl: string,
    graph: Graph,
    addresses: Collection<EncodedResource>,
    directory: AddressDirectory,
    options: CollectionSourceOptions = {},
  ) {
    super(typeUrl, graph, addresses, options);
    this.directory = directory;
  }

  /** By resource name, else as the address of a workload, else as that of a service. */
  resolve(name: string): readonly VersionedResource[] {
    const { directory } = this;
    const exact = this.collection.get(name);
    const found = exact === undefined ? preferWorkloads(directory.byAlias(name)) : [exact];
    const withWorkloads = found.flatMap((resource) =>
      workloadGroups(resource) === undefined
        ? [resource, ...directory.workloadsOf(resource.name)]
        : [resource],
    );
    const ofNode = name.startsWith(NODE_PREFIX) ? directory.workloadsOn(name.slice(NODE_PREFIX.length)) : [];
    return [...withWorkloads, ...ofNode].flatMap((resource) => this.view(resource) ?? []);
  }

  implicitNames(node: Node): readonly string[] {
    const name = nodeMetadata(node, 'NODE_NAME');
    return name === undefined || name === '' ? [] : [onNode(name)];
  }

  groups(name: string): readonly string[] {
    const resource = this.collection.get(name);
    const groups = resource === undefined ? undefined : workloadGroups(resource);
    return groups === undefined ? [] : [...groups.services, onNode(groups.node)];
  }
}

const NODE_PREFIX = onNode('');

function preferWorkloads(resources: readonly EncodedResource[]): readonly EncodedResource[] {
  const workloads = resources.filter((resource) => workloadGroups(resource) !== undefined);
  return workloads.length > 0 ? workloads : resources;
}
