import { createHash } from 'node:crypto';
import { istio } from '@weft/api/workload';
import { formatAddress } from './addresses.ts';

/** A resource as it goes on the wire. Kept encoded: a tenth of the memory of the message, and sent many times. */
export interface EncodedResource {
  readonly name: string;
  /** A hash of the content, so that every replica gives equal content the same version. */
  readonly version: string;
  readonly bytes: Buffer;
  /** Other names by which clients ask for it. */
  readonly aliases?: readonly string[];
}

export function sameResource(a: EncodedResource, b: EncodedResource): boolean {
  return a.version === b.version && a.name === b.name;
}

export function workloadResource(workload: istio.workload.Workload.$Properties): EncodedResource {
  const aliases = workloadAliases(workload);
  const resource = encoded(workload.uid ?? '', istio.workload.Address.encode({ workload }).finish());
  return aliases.length === 0 ? resource : { ...resource, aliases };
}

/** `network/ip`. Whoever shares a node's address isn't told from the others by it. */
function workloadAliases({
  network,
  addresses,
  networkMode,
}: istio.workload.Workload.$Properties): readonly string[] {
  if (networkMode === istio.workload.NetworkMode.HOST_NETWORK) return [];
  return (addresses ?? []).map((bytes) => `${network ?? ''}/${formatAddress(bytes)}`);
}

export function serviceResource(service: istio.workload.Service.$Properties): EncodedResource {
  const name = `${service.namespace ?? ''}/${service.hostname ?? ''}`;
  const aliases = serviceAliases(service);
  const resource = encoded(name, istio.workload.Address.encode({ service }).finish());
  return aliases.length === 0 ? resource : { ...resource, aliases };
}

/** `network/ip`, or `network/ip/bits` of a range. */
function serviceAliases({ addresses }: istio.workload.Service.$Properties): readonly string[] {
  return (addresses ?? []).map(({ network, address, length }) => {
    const alias = `${network ?? ''}/${formatAddress(address ?? new Uint8Array())}`;
    return length === undefined || length === null ? alias : `${alias}/${length}`;
  });
}

export function authorizationResource(authorization: istio.security.Authorization.$Shape): EncodedResource {
  const name = `${authorization.namespace ?? ''}/${authorization.name ?? ''}`;
  // `create` turns the oneofs' input form into the message that `encode` is typed for.
  return encoded(
    name,
    istio.security.Authorization.encode(istio.security.Authorization.create(authorization)).finish(),
  );
}

/** The bare Workload inside an Address, without encoding it again; undefined for an Address that holds a Service. */
export function bareWorkload(address: EncodedResource): EncodedResource | undefined {
  const { bytes } = address;
  if (bytes[0] !== WORKLOAD_TAG) return undefined;
  let start = 1;
  while (((bytes[start] ?? 0) & 0x80) !== 0) start++; // the length, a varint
  return { ...address, bytes: bytes.subarray(start + 1) };
}

/** Field 1, length-delimited: the Address' only field. */
const WORKLOAD_TAG = 0x0a;
const VERSION_HEX_DIGITS = 16;

export function encoded(name: string, view: Uint8Array): EncodedResource {
  const version = createHash('sha256').update(view).digest('hex').slice(0, VERSION_HEX_DIGITS);
  // `finish` returns a view of a block that protobufjs uses again.
  return { name, version, bytes: Buffer.from(view) };
}

/** As the output of a derivation: under its own name. */
export function named(resource: EncodedResource): readonly [string, EncodedResource] {
  return [resource.name, resource];
}
