export * from './codec.ts';
export { createHttp1ClientCodec } from './http1/client.ts';
export { createHttp1ServerCodec } from './http1/server.ts';
export { createHttp2ClientCodec } from './http2/client.ts';
export { createHttp2ServerCodec } from './http2/server.ts';
export { httpConnectionManager, router } from './manager/factory.ts';
export { compileRouteTable, decodeRouteTable, RouteTable } from './route/route-table.ts';
