// The few programs that come from the system: installed with apt where that is allowed, otherwise named.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';

/** Program → Debian package. */
export const programs = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  ip: 'iproute2',
  iptables: 'iptables',
  ip6tables: 'iptables',
  nft: 'nftables',
  ipset: 'ipset',
  openssl: 'openssl',
};

/** What `npm run bench -- tunnel|proxy` needs beyond that: public load tools, a server, and a Python that fetches Envoy. */
export const benchPrograms = {
  ...programs,
  iperf3: 'iperf3',
  wrk: 'wrk',
  h2load: 'nghttp2-client',
  nginx: 'nginx-light',
  '/usr/lib/nginx/modules/ngx_stream_module.so': 'libnginx-mod-stream',
  python3: 'python3-venv',
};

/** What tests need beyond that: the CNI project's own plugins, to run beside ours. */
export const testPrograms = { ...programs, '/usr/lib/cni/bridge': 'containernetworking-plugins' };

function inPath(program) {
  if (path.isAbsolute(program)) return existsSync(program);
  return (process.env.PATH ?? '').split(path.delimiter).some((dir) => {
    try {
      accessSync(path.join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Packages whose programs are not there. */
function missingPackages(wanted) {
  return [
    ...new Set(
      Object.entries(wanted)
        .filter(([program]) => !inPath(program))
        .map(([, pkg]) => pkg),
    ),
  ];
}

/** Returns what is still missing. */
export function ensureSystemPackages(wanted = programs) {
  const missing = missingPackages(wanted);
  if (missing.length === 0) return [];
  if (process.getuid?.() !== 0 || !inPath('apt-get')) return missing;
  console.log(`installing ${missing.join(', ')} …`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  apt('update');
  apt('install', '-y', '--no-install-recommends', ...missing);
  return missingPackages(wanted);
}

export function explainMissing(missing) {
  return `missing: ${missing.join(', ')}\nOn Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missing.join(' ')}`;
}
