/** `internal`: an internal listener by name; `endpointId` tells its endpoints apart. */
export type SocketAddress =
  | { readonly kind: 'ip'; readonly ip: string; readonly port: number }
  | { readonly kind: 'internal'; readonly listener: string; readonly endpointId: string };

/** `10.0.0.1:80`, `[::1]:80`, `envoy://connect_originate/10.0.0.1:80`. */
export function formatAddress(address: SocketAddress): string {
  if (address.kind === 'internal') return `envoy://${address.listener}/${address.endpointId}`;
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}
