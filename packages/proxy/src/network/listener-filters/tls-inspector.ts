import { readClientHello } from './client-hello.ts';
import { needMore, proceed, type ListenerFilter } from './listener-filter.ts';

/** Finds out whether the client speaks TLS, the server name that it asks for, and the protocols that it offers. */
export const tlsInspector: ListenerFilter = {
  name: 'envoy.filters.listener.tls_inspector',
  inspect: ({ connection: { info }, bytes, final }) => {
    const hello = readClientHello(bytes);
    if (hello.kind === 'incomplete') return final ? proceed : needMore;
    if (hello.kind === 'not-tls') return proceed;
    info.transportProtocol = 'tls';
    info.applicationProtocols = hello.protocols;
    if (hello.serverName !== undefined) info.requestedServerName = hello.serverName;
    return proceed;
  },
};
