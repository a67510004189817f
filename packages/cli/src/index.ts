export { ensureKubernetesClients, type KubernetesClients } from './kubernetes-clients.ts';
export { meshImages } from './mesh-images.ts';
export { paint } from './output.ts';
export { capture, passThrough } from './run-program.ts';
export { withUmbrellaChart } from './charts.ts';
