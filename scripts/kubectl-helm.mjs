// Real kubectl and helm for scripts and tests; see packages/cli/src/kubernetes-clients.ts.
export { ensureKubernetesClients } from '../packages/cli/dist/kubernetes-clients.js';
