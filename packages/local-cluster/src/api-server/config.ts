import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeftError } from '@weft/telemetry';
import type { ApiServerOptions, Listener } from './api-server.ts';
import {
  isObject,
  objectAt,
  objectsAt,
  stringAt,
  valueAt,
  type JsonObject,
  type JsonValue,
} from './object.ts';

/*
 * The file given to `main.ts`; the launcher writes it.
 *
 *   { "listenFds": [3], "listen": [{ "host": "172.18.0.1", "port": 6443 }],
 *     "storeDirectory": "…/store",
 *     "pki": { "caFile": "…", "certFile": "…", "keyFile": "…", "serviceAccountKeyFile": "…" },
 *     "serviceAccountIssuer": "https://kubernetes.default.svc.cluster.local",
 *     "serviceCidr": "10.96.0.0/16",
 *     "kubeletToken": "…", "kubelets": [{ "nodeName": "node-1", "host": "172.18.0.2", "port": 10250 }] }
 */

const STORE_FILE = 'state.jsonl';

/** Reads the configuration file of the process. WEFT2022 names what is wrong with it. */
export function readConfig(path: string): ApiServerOptions {
  const file = parse(path);
  const pem = (field: string): string => {
    const name = stringAt(file, 'pki', field);
    if (name === undefined) throw new WeftError('WEFT2022', `${path}: pki.${field} is missing`);
    try {
      return readFileSync(name, 'utf8');
    } catch (error) {
      throw new WeftError('WEFT2022', `${path}: pki.${field} cannot be read`, { cause: error });
    }
  };
  const storeDirectory = stringAt(file, 'storeDirectory');
  const serviceCidr = stringAt(file, 'serviceCidr');
  const serviceAccountIssuer = stringAt(file, 'serviceAccountIssuer');
  const token = stringAt(file, 'kubeletToken');
  return {
    ...(storeDirectory === undefined ? {} : { storePath: join(storeDirectory, STORE_FILE) }),
    tls: { certificateChainPem: pem('certFile'), privateKeyPem: pem('keyFile'), clientCaPem: pem('caFile') },
    serviceAccountKeys: { privateKeyPem: pem('serviceAccountKeyFile') },
    listeners: listenersOf(path, file),
    ...(serviceCidr === undefined ? {} : { serviceCidr }),
    ...(serviceAccountIssuer === undefined ? {} : { serviceAccountIssuer }),
    ...(token === undefined ? {} : { kubelet: { token, endpoint: kubeletEndpoints(path, file) } }),
  };
}

function listenersOf(path: string, file: JsonObject): Listener[] {
  const fds = valueAt(file, 'listenFds');
  const inherited = (Array.isArray(fds) ? fds : []).map((fd): Listener => {
    if (typeof fd === 'number') return { kind: 'fd', fd };
    throw new WeftError('WEFT2022', `${path}: listenFds: ${JSON.stringify(fd)} is not a number`);
  });
  const own = objectsAt(file, 'listen').map(
    (listener): Listener => ({ kind: 'address', ...hostAndPort(path, 'listen', listener) }),
  );
  if (inherited.length + own.length === 0)
    throw new WeftError('WEFT2022', `${path}: listen: nothing to listen on`);
  return [...inherited, ...own];
}

function kubeletEndpoints(path: string, file: JsonObject) {
  const byNode = new Map(
    objectsAt(file, 'kubelets').map((entry) => [
      stringAt(entry, 'nodeName') ?? '',
      hostAndPort(path, 'kubelets', entry),
    ]),
  );
  return (nodeName: string) => byNode.get(nodeName);
}

function hostAndPort(
  path: string,
  field: string,
  { host, port }: JsonObject,
): { host: string; port: number } {
  if (typeof host === 'string' && typeof port === 'number') return { host, port };
  throw new WeftError('WEFT2022', `${path}: ${field}: host and port are needed`);
}

function parse(path: string): JsonObject {
  let value: JsonValue;
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as JsonValue; // JSON.parse gives JSON
  } catch (error) {
    throw new WeftError('WEFT2022', `${path} cannot be read`, { cause: error });
  }
  if (!isObject(value) || objectAt(value, 'pki') === undefined)
    throw new WeftError('WEFT2022', `${path}: pki is missing`);
  return value;
}
