export { type EnvoyBinary, findEnvoy } from './differential/envoy-binary.ts';
export { checkFields } from '../field-support/check-fields.ts';
