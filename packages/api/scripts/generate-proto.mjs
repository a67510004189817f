#!/usr/bin/env node
// Generates packages/api/generated from the .proto files: one static protobufjs module per concern,
// pruned to the types that the entry messages and services reach. `--check` compares instead of writing.
// Envoy's types come from the .proto files that @grpc/grpc-js-xds ships.
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { envoyEntries, wellKnownEntries } from './envoy-entries.mjs';
import { describeFields } from './describe-fields.mjs';

const require = createRequire(import.meta.url);
const protobuf = require('protobufjs');
require('protobufjs/ext/descriptor');
const pbjs = promisify(require('protobufjs-cli/pbjs').main);
const pbts = promisify(require('protobufjs-cli/pbts').main);

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.join(here, '../generated');
const xdsDeps = path.join(path.dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const roots = [
  path.join(here, '../proto'),
  ...['envoy-api', 'googleapis', 'xds', 'protoc-gen-validate'].map((d) => path.join(xdsDeps, d)),
  path.dirname(require.resolve('protobufjs/package.json')),
];

const modules = {
  workload: {
    files: ['istio/workload.proto', 'istio/authorization.proto', 'istio/zds.proto', 'istio/ca.proto'],
    packages: ['istio.workload', 'istio.security', 'istio.workload.zds', 'istio.v1.auth'],
  },
  discovery: {
    files: ['envoy/service/discovery/v3/ads.proto'],
    packages: ['envoy.service.discovery.v3'],
  },
  nri: {
    files: ['containerd/nri.proto', 'containerd/ttrpc.proto'],
    packages: ['nri.pkg.api.v1alpha1', 'ttrpc'],
  },
  envoy: { files: envoyEntries, types: wellKnownEntries },
};

function load(files) {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => {
    for (const r of roots) {
      const candidate = path.join(r, target);
      if (existsSync(candidate)) return candidate;
    }
    return null;
  };
  root.loadSync(files, { keepCase: false });
  root.resolveAll();
  return root;
}

/** Marks every type, enum and service reachable from the given packages or, without them, from the given files. */
function reachable(root, { files, packages, types = [] }) {
  const seen = new Set();
  const visit = (o) => {
    if (!o || seen.has(o)) return;
    seen.add(o);
    if (o instanceof protobuf.Type) {
      for (const f of o.fieldsArray) visit(f.resolvedType);
      for (const n of o.nestedArray) if (n instanceof protobuf.Enum) visit(n);
    } else if (o instanceof protobuf.Service) {
      for (const m of o.methodsArray) {
        visit(m.resolvedRequestType);
        visit(m.resolvedResponseType);
      }
    }
  };
  const walk = (ns) => {
    for (const n of ns.nestedArray) {
      if (n instanceof protobuf.Type || n instanceof protobuf.Enum || n instanceof protobuf.Service) visit(n);
      if (n instanceof protobuf.Namespace) walk(n);
    }
  };
  for (const type of types) visit(root.lookupType(type));
  if (packages) for (const p of packages) walk(root.lookup(p));
  else walkFiles(root, new Set(files), visit);
  return seen;
}

function walkFiles(ns, files, visit) {
  for (const n of ns.nestedArray) {
    if (n instanceof protobuf.Type || n instanceof protobuf.Enum) {
      const file =
        n.filename && roots.map((r) => path.relative(r, n.filename)).find((f) => !f.startsWith('..'));
      if (files.has(file ?? n.filename)) visit(n);
    }
    if (n instanceof protobuf.Namespace) walkFiles(n, files, visit);
  }
}

function prune(ns, keep) {
  for (const n of [...ns.nestedArray]) {
    if (n instanceof protobuf.Namespace) prune(n, keep);
    const leaf = n instanceof protobuf.Type || n instanceof protobuf.Enum || n instanceof protobuf.Service;
    const needed = leaf
      ? keep.has(n) || (n instanceof protobuf.Namespace && n.nestedArray.length > 0)
      : n.nestedArray?.length > 0;
    if (!needed) ns.remove(n);
    // Kept only as the scope of a nested type: its own fields may name types that are gone.
    else if (n instanceof protobuf.Type && !keep.has(n))
      for (const f of [...n.fieldsArray, ...n.oneofsArray]) n.remove(f);
  }
}

async function generate(name, spec) {
  const root = load(spec.files);
  const keep = reachable(root, spec);
  prune(root, keep);
  const json = `${JSON.stringify(root.toJSON({ keepComments: false }), null, 1)}\n`;
  const tmp = path.join(out, `.${name}.json`);
  writeFileSync(tmp, json);
  const common = [
    '-t',
    'static-module',
    '-w',
    'esm',
    '-r',
    `weft_${name}`,
    '--no-verify',
    '--no-convert',
    '--no-delimited',
    '--force-long',
  ];
  const js = await pbjs([...common, '--no-comments', tmp]);
  const commented = path.join(out, `.${name}.commented.js`);
  writeFileSync(commented, await pbjs([...common, tmp]));
  const dts = await pbts([commented]);
  rmSync(tmp);
  rmSync(commented);
  const header = '// Generated by scripts/generate-proto.mjs; do not edit.\n';
  return {
    [`${name}.js`]: header + js,
    [`${name}.d.ts`]: header + dts,
    [`${name}.json`]: json,
    ...(name === 'envoy' ? { 'envoy-fields.json': describeFields(root) } : {}),
  };
}

mkdirSync(out, { recursive: true });
const check = process.argv.includes('--check');
let stale = 0;
for (const [name, spec] of Object.entries(modules)) {
  for (const [file, content] of Object.entries(await generate(name, spec))) {
    const target = path.join(out, file);
    if (!check) writeFileSync(target, content);
    else if (!existsSync(target) || readFileSync(target, 'utf8') !== content) {
      stale++;
      console.error(
        `${path.relative(process.cwd(), target)} differs from what the .proto files give; run npm run generate`,
      );
    }
  }
}
process.exitCode = stale > 0 ? 1 : 0;
