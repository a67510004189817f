export { ApiServer, type ApiServerOptions, type KubeletEndpoint, type Listener } from './api-server.ts';
export type { StaticToken } from './auth/authenticator.ts';
