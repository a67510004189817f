import type { Collection, Graph } from '@weft/collections';
import protobuf from 'protobufjs/minimal.js';
import type { EncodedResource } from '../ambient/resources.ts';

/** Field numbers of Address, Workload and its `services` map. */
const field = { workload: 1, node: 9, services: 22, mapKey: 1 } as const;
const number = (key: number): number => key >>> 3;

/** What a workload is part of, read from its bytes without decoding the rest of it. */
export interface WorkloadGroups {
  readonly node: string;
  /** `namespace/hostname`. */
  readonly services: readonly string[];
}

/** Undefined for an Address that holds a Service. */
export function workloadGroups({ bytes }: Pick<EncodedResource, 'bytes'>): WorkloadGroups | undefined {
  const address = protobuf.Reader.create(bytes);
  if (address.len === 0 || number(address.uint32()) !== field.workload) return undefined;
  const reader = protobuf.Reader.create(address.bytes());
  const services: string[] = [];
  let node = '';
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    if (number(key) === field.node) node = reader.string();
    else if (number(key) === field.services) {
      const entry = protobuf.Reader.create(reader.bytes());
      while (entry.pos < entry.len) {
        const entryKey = entry.uint32();
        if (number(entryKey) === field.mapKey) services.push(entry.string());
        else entry.skipType(entryKey & 7);
      }
    } else reader.skipType(key & 7);
  }
  return { node, services };
}

/**
 * Addresses by whatever else clients ask for them: aliases, the services they are part of, their node. Only on-demand
 * clients and proxyless ones need it, so it is made when the first of them asks: most meshes never pay for it.
 */
export class AddressDirectory {
  private readonly addresses: Collection<EncodedResource>;
  /** Resource names by key; undefined until somebody asks. */
  private entries: Map<string, Set<string>> | undefined;

  /** Has to be made before those that look into it when the graph tells them of a change. */
  constructor(graph: Graph, addresses: Collection<EncodedResource>) {
    this.addresses = addresses;
    graph.subscribe((changes) => {
      if (this.entries === undefined) return;
      for (const { before, after } of changes.of(addresses).values()) {
        if (before !== undefined) remove(this.entries, before);
        if (after !== undefined) add(this.entries, after);
      }
    });
  }

  byAlias(alias: string): readonly EncodedResource[] {
    return this.lookup(keys.alias(alias));
  }

  /** @param service `namespace/hostname` */
  workloadsOf(service: string): readonly EncodedResource[] {
    return this.lookup(keys.service(service));
  }

  workloadsOn(node: string): readonly EncodedResource[] {
    return this.lookup(keys.node(node));
  }

  private lookup(key: string): readonly EncodedResource[] {
    const names = (this.entries ??= this.create()).get(key) ?? [];
    return [...names].flatMap((name) => this.addresses.get(name) ?? []);
  }

  private create(): Map<string, Set<string>> {
    const entries = new Map<string, Set<string>>();
    for (const resource of this.addresses.values()) add(entries, resource);
    return entries;
  }
}

function add(entries: Map<string, Set<string>>, resource: EncodedResource): void {
  for (const key of keysOf(resource)) {
    const names = entries.get(key);
    if (names === undefined) entries.set(key, new Set([resource.name]));
    else names.add(resource.name);
  }
}

function remove(entries: Map<string, Set<string>>, resource: EncodedResource): void {
  for (const key of keysOf(resource)) {
    const names = entries.get(key);
    names?.delete(resource.name);
    if (names?.size === 0) entries.delete(key);
  }
}

const keys = {
  alias: (alias: string) => `alias ${alias}`,
  service: (service: string) => `service ${service}`,
  node: (node: string) => `node ${node}`,
} as const;

function keysOf(resource: EncodedResource): readonly string[] {
  const aliases = (resource.aliases ?? []).map(keys.alias);
  const groups = workloadGroups(resource);
  if (groups === undefined) return aliases;
  const node = groups.node === '' ? [] : [keys.node(groups.node)];
  return [...aliases, ...node, ...groups.services.map(keys.service)];
}
