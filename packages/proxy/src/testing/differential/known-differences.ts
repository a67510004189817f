/** Where the engine answers otherwise than Envoy on purpose, or not yet as Envoy: by the name of the case. */
const known: readonly { readonly cases: RegExp; readonly reason: string }[] = [];

export function knownDifference(name: string): string | undefined {
  return known.find(({ cases }) => cases.test(name))?.reason;
}
