import { setFlagsFromString } from 'node:v8';

// Preloaded into the proxies of a soak; see `liveHeapMib`.
setFlagsFromString('--trace-gc');
