export { runWaypoint, type WaypointOptions } from './app.ts';
export { bootstrap } from './bootstrap.ts';
export { parseCommandLine } from './command-line.ts';
export { loadConfig, type Config } from './config.ts';
