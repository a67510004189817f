export { closeDescriptor, socketDescriptor } from './descriptor.ts';
export { raiseFileLimit } from './file-limit.ts';
export * from './network-namespace.ts';
export * from './packet-capture.ts';
export * from './seqpacket.ts';
export { decodeSocketAddress, encodeSocketAddress } from './socket-address.ts';
export { SystemError } from './system-error.ts';
export * from './tcp-socket.ts';
export * from './udp-socket.ts';
