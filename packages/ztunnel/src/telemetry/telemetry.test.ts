import { describe, expect, it } from '@jest/globals';
import { createLogger, createMetricsRegistry, LogLevels, type LogFormat } from '@weft/telemetry';
import { AccessLog, type LoggedConnection } from './access-log.ts';
import { ZtunnelMetrics } from './metrics.ts';
import { trafficLabelNames, trafficLabels } from './traffic-labels.ts';
import { changeLogging } from '../admin/logging.ts';
import { at, service, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const server = workload('server', '10.0.0.2');
const web = service('web', '10.1.0.1');
const outbound: LoggedConnection = {
  direction: 'outbound',
  source: at('10.0.0.1', 4000),
  destination: at('10.0.0.2', 15_008),
  hboneTarget: '10.0.0.2:8080',
  traffic: {
    reporter: 'source',
    source: client,
    sourceIdentity: 'spiffe://cluster.local/ns/default/sa/client',
    destination: server,
    destinationIdentity: 'spiffe://cluster.local/ns/default/sa/server',
    service: web,
    isMutualTls: true,
  },
};

describe('traffic labels', () => {
  it('come in the order of the reference', () => {
    expect(Object.keys(trafficLabels(outbound.traffic))).toEqual([...trafficLabelNames]);
  });

  it('say unknown where nothing is known', () => {
    const labels = trafficLabels({
      reporter: 'destination',
      source: undefined,
      sourceIdentity: undefined,
      destination: undefined,
      destinationIdentity: undefined,
      service: undefined,
      isMutualTls: false,
    });
    const { reporter, request_protocol, response_flags, ...rest } = labels;
    expect([reporter, request_protocol, response_flags]).toEqual(['destination', 'tcp', '-']);
    expect(new Set(Object.values(rest))).toEqual(new Set(['unknown']));
  });

  it('prefer what the control plane says to what a peer says of itself', () => {
    const sourceBaggage = { workloadName: 'liar', namespace: 'elsewhere' };
    expect(trafficLabels({ ...outbound.traffic, sourceBaggage })).toMatchObject({
      source_workload: 'client',
    });
    expect(trafficLabels({ ...outbound.traffic, source: undefined, sourceBaggage })).toMatchObject({
      source_workload: 'liar',
      source_app: 'liar',
    });
  });
});

describe('access log', () => {
  const logged = (work: (log: AccessLog) => void, format: LogFormat = 'plain'): string => {
    let text = '';
    const sink = { write: (line: string) => (text += line), flush: () => undefined };
    const now = (): Date => new Date('2026-01-02T03:04:05.678Z');
    work(new AccessLog(createLogger({ scope: 'access', sink, now, format })));
    return text;
  };

  it('has the fields of the reference in their order, with bytes seen from the reporting side', () => {
    expect(logged((log) => log.closed(outbound, { received: 5, sent: 26 }, 12.4, undefined))).toBe(
      '2026-01-02T03:04:05.678000Z\tinfo\taccess\tconnection complete\t' +
        'src.addr=10.0.0.1:4000 src.workload="client" src.namespace="default" ' +
        'src.identity="spiffe://cluster.local/ns/default/sa/client" src.cluster="Kubernetes" ' +
        'dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 dst.service="web.default.svc.cluster.local" ' +
        'dst.workload="server" dst.namespace="default" dst.identity="spiffe://cluster.local/ns/default/sa/server" ' +
        'dst.cluster="Kubernetes" direction="outbound" bytes_sent=5 bytes_recv=26 duration="12ms"\n',
    );
  });

  it('has the same fields in the same order as JSON', () => {
    const text = logged((log) => log.closed(outbound, { received: 5, sent: 26 }, 12.4, undefined), 'json');
    expect(text).toMatch(/^\{.*\}\n$/);
    expect(Object.entries(JSON.parse(text) as Record<string, unknown>)).toEqual([
      ['level', 'info'],
      ['time', '2026-01-02T03:04:05.678000Z'],
      ['scope', 'access'],
      ['message', 'connection complete'],
      ['src.addr', '10.0.0.1:4000'],
      ['src.workload', 'client'],
      ['src.namespace', 'default'],
      ['src.identity', 'spiffe://cluster.local/ns/default/sa/client'],
      ['src.cluster', 'Kubernetes'],
      ['dst.addr', '10.0.0.2:15008'],
      ['dst.hbone_addr', '10.0.0.2:8080'],
      ['dst.service', 'web.default.svc.cluster.local'],
      ['dst.workload', 'server'],
      ['dst.namespace', 'default'],
      ['dst.identity', 'spiffe://cluster.local/ns/default/sa/server'],
      ['dst.cluster', 'Kubernetes'],
      ['direction', 'outbound'],
      ['bytes_sent', 5],
      ['bytes_recv', 26],
      ['duration', '12ms'],
    ]);
  });

  it('tells errors with their code', () => {
    const failure = { code: 'WEFT1315', message: 'ECONNREFUSED', flag: 'CONNECT' } as const;
    const text = logged((log) => log.closed(outbound, { received: 0, sent: 0 }, 1, failure));
    expect(text).toContain('\terror\taccess\tconnection complete\t');
    expect(text).toMatch(/error="ECONNREFUSED" code="WEFT1315"\n$/);
  });

  it('names no identity where none was proven', () => {
    const plain = {
      ...outbound,
      hboneTarget: undefined,
      traffic: { ...outbound.traffic, isMutualTls: false },
    };
    expect(logged((log) => log.closed(plain, { received: 0, sent: 0 }, 1, undefined))).not.toContain(
      'identity',
    );
  });
});

describe('metrics', () => {
  it('have the names of the reference', async () => {
    const registry = createMetricsRegistry();
    const metrics = new ZtunnelMetrics(registry, { istioVersion: '1.32', pods: () => undefined });
    metrics.traffic.opened(trafficLabels(outbound.traffic));
    const text = await registry.metrics();
    expect(text).toContain('istio_tcp_connections_opened_total{reporter="source",source_workload="client"');
    expect(text).toContain('istio_build{component="ztunnel",tag="1.32"} 1');
    expect(text).toContain('workload_manager_active_proxy_count 0');
    expect(text).toContain('weft_plan_round_trip_seconds_count 0');
    expect(text).toMatch(/process_open_fds \d+/);
    expect(text.trimEnd()).toMatch(/# EOF$/);
  });
});

describe('POST /logging', () => {
  const levels = new LogLevels();
  const ask = (query: string): { status: number; body: string } =>
    changeLogging(levels, new URLSearchParams(query), 'info');

  it('sets levels, shows them and takes them back', () => {
    expect(ask('level=debug,access=off')).toEqual({
      status: 200,
      body: 'current log level is access=off,debug\n',
    });
    expect(ask('')).toEqual({ status: 200, body: 'current log level is access=off,debug\n' });
    expect(ask('reset')).toEqual({ status: 200, body: 'current log level is info\n' });
  });

  it('changes nothing when a part is wrong', () => {
    expect(ask('level=debug,access:off').status).toBe(400);
    expect(ask('').body).toBe('current log level is info\n');
  });
});
