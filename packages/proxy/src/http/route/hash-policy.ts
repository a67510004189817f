import type { HeaderMap, StreamInfo } from '../../engine/types.ts';
import { queryOf } from '../../matching/index.ts';
import type { envoy } from '@weft/api/envoy';
import { durationMs } from '../../filters/message.ts';
import { regexRewrite } from './path-rewrite.ts';
import { combineHash, xxHash64 } from '../../upstream/load-balancer/xx-hash.ts';

type HashPolicyConfig = envoy.config.route.v3.RouteAction.HashPolicy.$Properties;

export interface HashPolicy {
  readonly terminal: boolean;
  hash(request: HashInput): bigint | undefined;
}

export interface HashInput {
  readonly headers: HeaderMap;
  readonly info: StreamInfo;
  /** Adds a `set-cookie` to the response. */
  setCookie(value: string): void;
  random(): number;
}

/** Combines by rotation and XOR, stopping at the first terminal policy that hit; undefined: no policy hit. */
export function hashOf(policies: readonly HashPolicy[], input: HashInput): bigint | undefined {
  let combined: bigint | undefined;
  for (const policy of policies) {
    const hash = policy.hash(input);
    if (hash === undefined) continue;
    combined = combineHash(combined, hash);
    if (policy.terminal) break;
  }
  return combined;
}

export function compileHashPolicy(config: HashPolicyConfig): HashPolicy | undefined {
  const terminal = config.terminal === true;
  switch (config.policySpecifier) {
    case 'header': {
      const name = config.header?.headerName ?? '';
      const rule = config.header?.regexRewrite;
      const rewrite = rule ? regexRewrite(rule) : undefined;
      return {
        terminal,
        hash: ({ headers }) => {
          const values = headers.getAll(name);
          if (values.length === 0) return undefined;
          const text = [...values].sort().join('');
          return xxHash64(rewrite === undefined ? text : rewrite(text));
        },
      };
    }
    case 'cookie': {
      const name = config.cookie?.name ?? '';
      const ttlMs = durationMs(config.cookie?.ttl);
      const path = config.cookie?.path ?? '';
      return {
        terminal,
        hash: (input) => {
          const sent = cookieValue(input.headers, name);
          if (sent !== undefined && sent !== '') return xxHash64(sent);
          if (ttlMs === undefined) return undefined;
          const value = xxHash64(`${input.random()}${input.info.streamId}`).toString(16);
          const age = ttlMs === 0 ? '' : `; Max-Age=${Math.floor(ttlMs / 1000)}`;
          const where = path === '' ? '' : `; Path=${path}`;
          input.setCookie(`${name}="${value}"${age}${where}; HttpOnly`);
          return xxHash64(value);
        },
      };
    }
    case 'connectionProperties':
      if (config.connectionProperties?.sourceIp !== true) return undefined;
      return {
        terminal,
        hash: ({ info }) => (info.remoteAddress.kind === 'ip' ? xxHash64(info.remoteAddress.ip) : undefined),
      };
    case 'queryParameter': {
      const name = config.queryParameter?.name ?? '';
      return {
        terminal,
        hash: ({ headers }) => {
          const value = queryOf(headers.path ?? '').get(name);
          return value === undefined ? undefined : xxHash64(value);
        },
      };
    }
    case 'filterState': {
      const key = config.filterState?.key ?? '';
      return {
        terminal,
        hash: ({ info }) => {
          const value = info.filterState.text(key);
          return value === undefined ? undefined : xxHash64(value);
        },
      };
    }
    default:
      return undefined;
  }
}

function cookieValue(headers: HeaderMap, name: string): string | undefined {
  for (const line of headers.getAll('cookie')) {
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=');
      if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
      return pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1');
    }
  }
  return undefined;
}
