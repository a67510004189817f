import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs/light.js';

/** Descriptors from `generated/`, loaded when somebody first asks: reflection costs 30 ms and some memory. */
export function lazyRoot(file: string): () => protobuf.Root {
  let root: protobuf.Root | undefined;
  return () => {
    if (root === undefined) {
      const url = new URL(`../generated/${file}`, import.meta.url);
      // Written by protobufjs itself.
      root = protobuf.Root.fromJSON(JSON.parse(readFileSync(url, 'utf8')) as protobuf.INamespace);
      root.resolveAll();
    }
    return root;
  };
}
