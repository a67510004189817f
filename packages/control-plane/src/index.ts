export { type ControlPlaneConfig, readConfig } from './config.ts';
export { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts';
