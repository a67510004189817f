export { type EnvoyBinary, findEnvoy } from './differential/envoy-binary.ts';
