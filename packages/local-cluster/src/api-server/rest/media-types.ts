/** How the client wants objects represented, by its Accept header. */
export type Representation =
  | { readonly kind: 'object' }
  | { readonly kind: 'table'; readonly version: 'v1' | 'v1beta1' }
  | { readonly kind: 'metadata'; readonly version: 'v1' | 'v1beta1' };

/** The first alternative that can be served wins. Protobuf can't, so `…protobuf,application/json` means JSON. */
export function negotiateRepresentation(accept: string | undefined): Representation {
  for (const alternative of parseAccept(accept)) {
    if (!isJson(alternative.type)) continue;
    const as = alternative.parameters.get('as');
    const version = alternative.parameters.get('v') === 'v1beta1' ? 'v1beta1' : 'v1';
    if (as === undefined) return { kind: 'object' };
    if (as === 'Table') return { kind: 'table', version };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { kind: 'metadata', version };
  }
  return { kind: 'object' };
}

/** The version of aggregated discovery that the client prefers; undefined for the older documents. */
export function negotiateDiscovery(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const alternative of parseAccept(accept)) {
    if (!isJson(alternative.type)) continue;
    if (alternative.parameters.get('as') !== 'APIGroupDiscoveryList') return undefined;
    const version = alternative.parameters.get('v');
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}

export interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

export function parseMediaType(text: string): MediaType {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim());
  return {
    type: type.toLowerCase(),
    parameters: new Map(
      parameters.map((parameter): [string, string] => {
        const [name = '', ...value] = parameter.split('=');
        return [name.trim(), value.join('=').trim()];
      }),
    ),
  };
}

function parseAccept(accept: string | undefined): readonly MediaType[] {
  return (accept ?? '*/*').split(',').map(parseMediaType);
}

function isJson(type: string): boolean {
  return type === 'application/json' || type === '*/*' || type === 'application/*';
}
