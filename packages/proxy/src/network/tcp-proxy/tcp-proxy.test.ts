import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { ManualClock } from '@weft/telemetry';
import type {
  Cluster,
  Endpoint,
  HttpStream,
  HttpStreamEvents,
  StreamInfo,
  UpstreamFailure,
} from '../../engine/types.ts';
import { HeaderMap } from '../../engine/types.ts';
import { StatsStore } from '../../stats/index.ts';
import { testContext, testEngine } from '../../testing/compile.ts';
import { createConnectionInfo, createTcpStreamInfo } from '../connection-info.ts';
import { createPipe, type PipeEnd } from '../internal-pipe.ts';
import { xxHash64 } from '../../upstream/index.ts';
import { tcpProxy } from './index.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));
const internal = { kind: 'internal', listener: 'test', endpointId: '' } as const;
const newInfo = () => {
  const info = createConnectionInfo({ remoteAddress: internal, localAddress: internal, startTimeMs: 0 });
  info.localAddress = { kind: 'ip', ip: '10.0.0.9', port: 80 };
  return info;
};
const newPipe = () => createPipe(newInfo(), newInfo());

/** A cluster that does as it is told: its n-th connection succeeds, or fails for a reason. */
class ScriptedCluster implements Pick<Cluster, 'name' | 'pick' | 'connect' | 'openStream'> {
  readonly name: string;
  hosts = 1;
  /** Connections are never made. */
  hangs = false;
  failures: UpstreamFailure[] = [];
  connections: PipeEnd[] = [];
  streams: { headers?: HeaderMap; sent: string; reset?: string; events: HttpStreamEvents }[] = [];

  constructor(name: string) {
    this.name = name;
  }

  hashes: (bigint | undefined)[] = [];

  pick: Cluster['pick'] = ({ hash }) => {
    this.hashes.push(hash);
    if (this.hosts === 0) return undefined;
    return { address: internal, activeRequests: 0, reportResult: () => undefined } as unknown as Endpoint; // enough here
  };

  connect: Cluster['connect'] = (_, __, handlers) => {
    const failure = this.failures.shift();
    let wanted = true;
    queueMicrotask(() => {
      if (!wanted || this.hangs) return;
      if (failure !== undefined) return handlers.onFailure(failure);
      const { client, server } = newPipe();
      this.connections.push(server);
      handlers.onConnected(client, { cluster: this.asCluster() });
    });
    return {
      cancel: () => {
        wanted = false;
      },
    };
  };

  openStream: Cluster['openStream'] = (_, __, handlers) => {
    const record: (typeof this.streams)[number] = {
      sent: '',
      events: undefined as unknown as HttpStreamEvents,
    }; // set below
    const stream: HttpStream = {
      writableLength: 0,
      sendHeaders: (headers) => {
        record.headers = headers;
      },
      sendData: (chunk, endStream) => {
        record.sent += chunk.toString() + (endStream ? '|end' : '');
        return true;
      },
      sendTrailers: () => undefined,
      sendInformational: () => undefined,
      reset: (reason) => {
        record.reset = reason;
      },
      pauseReading: () => undefined,
      resumeReading: () => undefined,
    };
    Object.assign(record, { events: handlers.onReady(stream, { cluster: this.asCluster() }) });
    this.streams.push(record);
    return { cancel: () => undefined };
  };

  asCluster(): Cluster {
    return this as unknown as Cluster; // the rest of a cluster isn't called
  }
}

function setup(config: object, clusters: readonly ScriptedCluster[], random = 0.5) {
  const clock = new ManualClock();
  const stats = new StatsStore();
  const engine = testEngine({
    clock,
    stats,
    random: () => random,
    clusters: {
      get: (name) => clusters.find((c) => c.name === name)?.asCluster(),
      all: () => [],
    },
  });
  const bytes = envoyFromJson('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
    stat_prefix: 'test',
    ...config,
  });
  const compiled = tcpProxy.compile(bytes, testContext(engine), '');
  if (compiled.kind !== 'terminal') throw new Error('tcp_proxy is a terminal filter');
  const { client, server } = newPipe();
  const info: StreamInfo = createTcpStreamInfo(server.info, 'unspecified');
  const log: string[] = [];
  client.onData = (chunk) => log.push(chunk.toString());
  client.onEnd = () => log.push('end');
  client.onClose = (error) => log.push(error === undefined ? 'close' : 'reset');
  client.resume();
  const start = (): void => compiled.accept(server, info, () => log.push('done'));
  return { clock, client, info, log, start };
}

describe('tcp_proxy', () => {
  it('relays to its cluster, and counts', async () => {
    const cluster = new ScriptedCluster('a');
    const { client, info, log, start } = setup({ cluster: 'a' }, [cluster]);
    client.write(Buffer.from('early '));
    start();
    await settle();
    const [upstream] = cluster.connections;
    let received = '';
    upstream!.onData = (chunk) => {
      received += chunk.toString();
    };
    upstream!.onEnd = () => upstream!.end();
    upstream!.resume();
    client.write(Buffer.from('bird'));
    await settle();
    upstream!.write(Buffer.from('worm'));
    client.end();
    await settle();
    await settle();
    expect(received).toBe('early bird');
    expect(log).toEqual(['worm', 'end', 'close', 'done']);
    expect(info).toMatchObject({ bytesReceived: 10, bytesSent: 4, attemptCount: 1 });
    expect([...info.responseFlags]).toEqual([]);
  });

  it('tries again as often as it may', async () => {
    const cluster = new ScriptedCluster('a');
    const refused: UpstreamFailure = { kind: 'connect-failure', reason: 'refused' };
    cluster.failures = [refused, refused];
    const { info, log, start } = setup({ cluster: 'a', max_connect_attempts: 3 }, [cluster]);
    start();
    await settle();
    await settle();
    expect(info.attemptCount).toBe(3);
    expect(cluster.connections).toHaveLength(1);
    expect(log).toEqual([]);
  });

  it.each([
    ['no cluster', { cluster: 'missing' }, () => undefined, ['NC'], 'reset'],
    [
      'no host',
      { cluster: 'a' },
      (c: ScriptedCluster) => {
        c.hosts = 0;
      },
      ['UH'],
      'end',
    ],
    [
      'a refused connection',
      { cluster: 'a' },
      (c: ScriptedCluster) => {
        c.failures = [{ kind: 'connect-failure', reason: 'refused' }];
      },
      ['UF', 'URX'],
      'reset',
    ],
    [
      'too many connections',
      { cluster: 'a' },
      (c: ScriptedCluster) => {
        c.failures = [{ kind: 'overflow' }];
      },
      ['UO'],
      'reset',
    ],
  ])('tells the client and the log of %s', async (_, config, prepare, flags, first) => {
    const cluster = new ScriptedCluster('a');
    prepare(cluster);
    const { client, info, log, start } = setup(config, [cluster]);
    start();
    await settle();
    await settle();
    client.end();
    await settle();
    expect(log.find((entry) => entry !== 'done')).toBe(first);
    expect([...info.responseFlags]).toEqual(flags);
  });

  it.each([
    [0, 'a'],
    [0.29, 'a'],
    [0.31, 'b'],
    [0.99, 'b'],
  ])('splits by weight: %f goes to %s', async (random, expected) => {
    const clusters = [new ScriptedCluster('a'), new ScriptedCluster('b')];
    const weighted_clusters = {
      clusters: [
        { name: 'a', weight: 30 },
        { name: 'b', weight: 70 },
      ],
    };
    const { info, start } = setup({ weighted_clusters }, clusters, random);
    start();
    await settle();
    expect(info.upstream?.cluster.name).toBe(expected);
  });

  it('closes what is idle, at the time that filter state says', async () => {
    const cluster = new ScriptedCluster('a');
    const { clock, client, info, log, start } = setup({ cluster: 'a', idle_timeout: '60s' }, [cluster]);
    info.filterState.set('envoy.tcp_proxy.per_connection_idle_timeout_ms', '5000');
    start();
    await settle();
    await clock.advance(4_000);
    client.write(Buffer.from('x'));
    await settle();
    await clock.advance(4_000);
    expect(log).toEqual([]);
    await clock.advance(1_001);
    expect(log).toContain('end');
  });

  it('ends sessions that last too long', async () => {
    const cluster = new ScriptedCluster('a');
    const { clock, info, log, start } = setup({ cluster: 'a', max_downstream_connection_duration: '10s' }, [
      cluster,
    ]);
    start();
    await settle();
    await clock.advance(10_000);
    expect(log).toContain('end');
    expect([...info.responseFlags]).toEqual(['DT']);
  });

  it('gives the attempt up when the client is gone', async () => {
    const cluster = new ScriptedCluster('a');
    cluster.hangs = true;
    const { client, info, log, start } = setup({ cluster: 'a' }, [cluster]);
    start();
    client.reset();
    await settle();
    expect(log.sort()).toEqual(['close', 'done']);
    expect([...info.responseFlags]).toEqual(['DC']);
  });

  it('hashes the source address or filter state, for consistent hashing', () => {
    const hashes = (policy: object, info: Partial<StreamInfo> = {}, key = 'v'): (bigint | undefined)[] => {
      const cluster = new ScriptedCluster('a');
      const session = setup({ cluster: 'a', hash_policy: [policy] }, [cluster]);
      Object.assign(session.info, info);
      session.info.filterState.set('k', key);
      session.start();
      return cluster.hashes;
    };
    const from = (ip: string) => ({ remoteAddress: { kind: 'ip', ip, port: 1 } }) as const;
    const source = { source_ip: {} };
    expect(hashes(source, from('10.0.0.1'))).toEqual([xxHash64('10.0.0.1')]);
    expect(hashes(source, { ...from('10.0.0.2') })).toEqual([xxHash64('10.0.0.2')]);
    expect(hashes(source)).toEqual([undefined]);
    expect(hashes({ filter_state: { key: 'k' } })).toEqual([xxHash64('v')]);
    expect(hashes({ filter_state: { key: 'none' } })).toEqual([undefined]);
    expect(() => setup({ cluster: 'a', hash_policy: [source, source] }, [])).toThrow('hash_policy');
  });

  it('refuses a configuration without cluster, naming the field', () => {
    expect(() => setup({ weighted_clusters: { clusters: [] } }, [])).toThrow(
      'test: weighted_clusters.clusters: must not be empty',
    );
  });
});

describe('tunneling_config', () => {
  const tunneling_config = {
    hostname: '%DOWNSTREAM_LOCAL_ADDRESS%',
    headers_to_add: [{ header: { key: 'X-Source', value: 'here' } }],
  };

  it('asks for the original destination, and carries bytes both ways', async () => {
    const cluster = new ScriptedCluster('a');
    const { client, log, start } = setup({ cluster: 'a', tunneling_config }, [cluster]);
    start();
    await settle();
    const [stream] = cluster.streams;
    expect(stream?.headers).toMatchObject({ method: 'CONNECT', authority: '10.0.0.9:80', path: undefined });
    expect([...(stream?.headers ?? [])]).toEqual([['x-source', 'here']]);
    stream?.events.onHeaders(HeaderMap.response(200), false);
    client.write(Buffer.from('up'));
    stream?.events.onData(Buffer.from('down'), false);
    client.end();
    await settle();
    stream?.events.onData(Buffer.from('!'), true);
    await settle();
    await settle();
    expect(stream?.sent).toBe('up|end');
    expect(log).toEqual(['down', '!', 'end', 'close', 'done']);
    expect(stream?.reset).toBeUndefined();
  });

  it('resets the client when the tunnel is refused, and says by which status', async () => {
    const cluster = new ScriptedCluster('a');
    const { info, log, start } = setup({ cluster: 'a', tunneling_config }, [cluster]);
    start();
    await settle();
    cluster.streams[0]?.events.onHeaders(HeaderMap.response(503), true);
    await settle();
    expect(log.sort()).toEqual(['done', 'reset']);
    expect([...info.responseFlags]).toEqual(['UF', 'URX']);
    expect(info.responseCodeDetails).toBe('tunnel_response:503');
  });

  it('passes a reset on, either way', async () => {
    const lost = new ScriptedCluster('a');
    const one = setup({ cluster: 'a', tunneling_config }, [lost]);
    one.start();
    await settle();
    lost.streams[0]?.events.onHeaders(HeaderMap.response(200), false);
    await settle();
    lost.streams[0]?.events.onReset('remote-reset');
    await settle();
    expect(one.log.sort()).toEqual(['done', 'reset']);

    const other = new ScriptedCluster('a');
    const two = setup({ cluster: 'a', tunneling_config }, [other]);
    two.start();
    await settle();
    other.streams[0]?.events.onHeaders(HeaderMap.response(200), false);
    await settle();
    two.client.reset();
    await settle();
    expect(other.streams[0]?.reset).toBe('connect-error');
  });

  it('connects directly where filter state switches tunnels off', async () => {
    const cluster = new ScriptedCluster('a');
    const { info, start } = setup({ cluster: 'a', tunneling_config }, [cluster]);
    info.filterState.set('envoy.tcp_proxy.disable_tunneling', 'true');
    start();
    await settle();
    expect(cluster.streams).toHaveLength(0);
    expect(cluster.connections).toHaveLength(1);
  });
});
