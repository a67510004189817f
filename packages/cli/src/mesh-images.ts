import { fileURLToPath } from 'node:url';
import type { ImageTable } from '@weft/local-cluster';

/** The workspace, which pods of a local cluster see read-only. */
const workspace = fileURLToPath(new URL('../../..', import.meta.url));

function program(pattern: string, file: string): ImageTable['images'][number] {
  return {
    pattern,
    command: [process.execPath, '--enable-source-maps', `${workspace}${file}`],
    binds: [workspace],
  };
}

/** What the charts' images and the sample's stand for on a local cluster: this installation's own programs. */
export const meshImages: ImageTable = {
  images: [
    program('weft/pilot:*', 'packages/control-plane/dist/main.js'),
    program('weft/ztunnel:*', 'packages/ztunnel/dist/main.js'),
    program('weft/proxyv2:*', 'packages/waypoint/dist/main.js'),
    program('weft/install-cni:*', 'cni-plugin/dist/agent/main.js'),
    program('weft/sample:*', 'samples/app/app.mjs'),
  ],
};
