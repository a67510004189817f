import ipaddr from 'ipaddr.js';
import { envoy } from '@weft/api/envoy';
import { TYPE_PREFIX } from '../config/typed-config.ts';
import type { CompileContext, ConnectionInfo, SocketAddress, TypedConfig } from '../engine/types.ts';

/** What a matcher looks at; undefined when the connection doesn't have it. */
export type ConnectionInput = (connection: ConnectionInfo) => string | undefined;

const INPUTS = `${TYPE_PREFIX}envoy.extensions.matching.common_inputs.network.v3.`;

/** Compiles the inputs of `envoy.extensions.matching.common_inputs.network.v3`. */
export function connectionInput(input: TypedConfig, context: CompileContext): ConnectionInput {
  switch (input.typeUrl) {
    case `${INPUTS}DestinationIPInput`:
      return (c) => ipOf(c.localAddress);
    case `${INPUTS}DestinationPortInput`:
      return (c) => portOf(c.localAddress);
    case `${INPUTS}SourceIPInput`:
      return (c) => ipOf(c.remoteAddress);
    case `${INPUTS}SourcePortInput`:
      return (c) => portOf(c.remoteAddress);
    case `${INPUTS}DirectSourceIPInput`:
      return (c) => ipOf(c.directRemoteAddress);
    case `${INPUTS}SourceTypeInput`:
      return (c) => (isLocal(c) ? 'local' : undefined);
    case `${INPUTS}ServerNameInput`:
      return (c) => c.requestedServerName;
    case `${INPUTS}TransportProtocolInput`:
      return (c) => c.transportProtocol;
    case `${INPUTS}ApplicationProtocolInput`:
      // A list of quoted names, so that exact matches of one name work: `'h2','http/1.1'`.
      return ({ applicationProtocols: names }) =>
        names.length === 0 ? undefined : names.map((name) => `'${name}'`).join(',');
    case `${INPUTS}FilterStateInput`: {
      const { key } = envoy.extensions.matching.common_inputs.network.v3.FilterStateInput.decode(input.value);
      return (c) => c.filterState.text(key);
    }
    default:
      return context.fail(`no implementation for ${input.typeUrl || 'an input without type'}`);
  }
}

export function ipOf(address: SocketAddress): string | undefined {
  return address.kind === 'ip' ? address.ip : undefined;
}

export function portOf(address: SocketAddress): string | undefined {
  return address.kind === 'ip' ? String(address.port) : undefined;
}

/** SAME_IP_OR_LOOPBACK: the client is on this machine. */
export function isLocal(connection: ConnectionInfo): boolean {
  const remote = ipOf(connection.remoteAddress);
  if (remote === undefined) return true;
  return remote === ipOf(connection.localAddress) || ipaddr.process(remote).range() === 'loopback';
}
