/** A google.protobuf.Struct as plain data. */
export type MetadataValue = null | boolean | number | string | readonly MetadataValue[] | MetadataStruct;
export interface MetadataStruct {
  readonly [key: string]: MetadataValue;
}
/** By namespace, which is a filter's name or a reverse domain. Mutable: filters add during a stream. */
export type Metadata = Map<string, MetadataStruct>;
