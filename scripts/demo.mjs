#!/usr/bin/env node
// `npm run demo`: checks what the machine lacks, then takes the tour of e2e/src/demo.
import { explainMissing, ensureSystemPackages } from './system-packages.mjs';

const missing = ensureSystemPackages();
if (missing.length > 0) {
  console.error(explainMissing(missing));
  process.exit(1);
}
await import('../e2e/dist/demo/main.js');
