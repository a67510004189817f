import { readFileSync } from 'node:fs';
import { WeftError } from '@weft/telemetry';
import type { ApiServerOptions, Listener } from './api-server.ts';
import { isObject, objectsAt, stringAt, type JsonObject, type JsonValue } from './object.ts';

/*
 * The file given to `main.ts`. PEM files are named by path, so that the file itself holds no secret but the tokens.
 *
 *   { "storePath": "…/store/state.jsonl",
 *     "certificateFile": "…", "privateKeyFile": "…", "clientCaFile": "…", "serviceAccountKeyFile": "…",
 *     "listeners": [{ "kind": "fd", "fd": 3 }, { "kind": "address", "host": "172.18.0.1", "port": 6443 }],
 *     "serviceCidr": "10.96.0.0/16", "kubeletToken": "…",
 *     "staticTokens": [{ "token": "…", "user": "system:node:n1", "groups": ["system:nodes"] }] }
 */

/** Reads the configuration file of the process. WEFT2022 names what is wrong with it. */
export function readConfig(path: string): ApiServerOptions {
  const file = parse(path);
  const required = (field: string): string => {
    const value = stringAt(file, field);
    if (value === undefined || value === '') throw new WeftError('WEFT2022', `${path}: ${field} is missing`);
    return value;
  };
  const pem = (field: string): string => {
    const name = required(field);
    try {
      return readFileSync(name, 'utf8');
    } catch (error) {
      throw new WeftError('WEFT2022', `${path}: ${field} cannot be read`, { cause: error });
    }
  };
  const storePath = stringAt(file, 'storePath');
  const serviceCidr = stringAt(file, 'serviceCidr');
  const kubeletToken = stringAt(file, 'kubeletToken');
  return {
    ...(storePath === undefined ? {} : { storePath }),
    tls: {
      certificateChainPem: pem('certificateFile'),
      privateKeyPem: pem('privateKeyFile'),
      clientCaPem: pem('clientCaFile'),
    },
    serviceAccountKeys: { privateKeyPem: pem('serviceAccountKeyFile') },
    listeners: objectsAt(file, 'listeners').map((listener) => listenerOf(path, listener)),
    ...(serviceCidr === undefined ? {} : { serviceCidr }),
    ...(kubeletToken === undefined ? {} : { kubelet: { token: kubeletToken } }),
    staticTokens: objectsAt(file, 'staticTokens').map((entry) => ({
      token: stringAt(entry, 'token') ?? '',
      user: stringAt(entry, 'user') ?? '',
      groups: Array.isArray(entry['groups']) ? entry['groups'].filter((group) => typeof group === 'string') : [],
    })),
  };
}

function listenerOf(path: string, listener: JsonObject): Listener {
  const { kind, fd, host, port } = listener;
  if (kind === 'fd' && typeof fd === 'number') return { kind, fd };
  if (kind === 'address' && typeof host === 'string' && typeof port === 'number') return { kind, host, port };
  throw new WeftError('WEFT2022', `${path}: listeners: ${JSON.stringify(listener)} is neither an fd nor an address`);
}

function parse(path: string): JsonObject {
  let value: JsonValue;
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as JsonValue; // JSON.parse gives JSON
  } catch (error) {
    throw new WeftError('WEFT2022', `${path} cannot be read`, { cause: error });
  }
  if (!isObject(value)) throw new WeftError('WEFT2022', `${path}: not an object`);
  return value;
}
