import { describe, expect, it } from '@jest/globals';
import { Histogram, HISTOGRAM_BOUNDS } from './histogram.ts';
import { metricName, prometheusText } from './prometheus.ts';
import { StatsStore } from './stats-store.ts';
import { statsJson, statsText } from './text.ts';

describe('names and labels', () => {
  it.each([
    ['cluster.foo', 'upstream_rq_total', 'envoy_cluster_upstream_rq_total{envoy_cluster_name="foo"}'],
    [
      'cluster.inbound-vip|80|http|a.shop.svc.cluster.local',
      'upstream_cx_active',
      'envoy_cluster_upstream_cx_active{envoy_cluster_name="inbound-vip|80|http|a.shop.svc.cluster.local"}',
    ],
    [
      'cluster.foo',
      'upstream_rq_200',
      'envoy_cluster_upstream_rq{envoy_cluster_name="foo",envoy_response_code="200"}',
    ],
    [
      'cluster.foo',
      'upstream_rq_5xx',
      'envoy_cluster_upstream_rq_xx{envoy_cluster_name="foo",envoy_response_code_class="5"}',
    ],
    [
      'http.inbound_0.0.0.0_80',
      'downstream_rq_2xx',
      'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="inbound_0.0.0.0_80",envoy_response_code_class="2"}',
    ],
    ['http.in.', 'no_route', 'envoy_http_no_route{envoy_http_conn_manager_prefix="in"}'],
    ['listener.[::]:80', 'ssl.handshake', 'envoy_listener_ssl_handshake{envoy_listener_address="[::]:80"}'],
    ['server', 'live', 'envoy_server_live'],
  ])('%s + %s', (scope, name, line) => {
    const store = new StatsStore();
    store.scope(scope).counter(name).add(3);
    expect(prometheusText(store.all()).split('\n')[1]).toBe(`${line} 3`);
  });

  it('find the owner without a scope, and below a scope of its kind', () => {
    const store = new StatsStore();
    store.counter('cluster.a.b.upstream_rq_total').add();
    store.scope('cluster').scope('c.d').counter('upstream_rq_total').add();
    expect(prometheusText(store.all())).toBe(
      '# TYPE envoy_cluster_upstream_rq_total counter\n' +
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="a.b"} 1\n' +
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="c.d"} 1\n',
    );
  });

  it('are as Istio asks for them when it does', () => {
    const store = new StatsStore({ tagStyle: 'istio' });
    store.scope('cluster.foo').counter('upstream_rq_2xx').add();
    expect(prometheusText(store.all())).toContain('{cluster_name="foo",response_code_class="2xx"} 1');
  });

  it('of Istio metrics have no prefix', () => {
    const store = new StatsStore();
    store.counter('istio_requests_total', { reporter: 'waypoint', response_code: '200' }).add();
    expect(prometheusText(store.all())).toBe(
      '# TYPE istio_requests_total counter\nistio_requests_total{reporter="waypoint",response_code="200"} 1\n',
    );
  });

  it('escape what a label may not hold', () => {
    const store = new StatsStore();
    store.counter('m', { a: 'x"y\\z\n' }).add();
    expect(prometheusText(store.all())).toContain('m{a="x\\"y\\\\z\\n"} 1\n');
  });
});

describe('histograms', () => {
  it('count cumulatively and sum up', () => {
    const store = new StatsStore();
    const h = store.scope('cluster.a').histogram('upstream_rq_time');
    for (const value of [0.5, 0.6, 7, 4_000_000]) h.record(value);
    const text = prometheusText(store.all());
    expect(text).toContain('# TYPE envoy_cluster_upstream_rq_time histogram\n');
    expect(text).toContain('_bucket{envoy_cluster_name="a",le="0.5"} 1\n');
    expect(text).toContain('_bucket{envoy_cluster_name="a",le="1"} 2\n');
    expect(text).toContain('_bucket{envoy_cluster_name="a",le="10"} 3\n');
    expect(text).toContain('_bucket{envoy_cluster_name="a",le="3600000"} 3\n');
    expect(text).toContain('_bucket{envoy_cluster_name="a",le="+Inf"} 4\n');
    expect(text).toContain('_sum{envoy_cluster_name="a"} 4000008.1\n');
    expect(text).toContain('_count{envoy_cluster_name="a"} 4\n');
  });

  it('estimate quantiles within their bucket', () => {
    const h = new Histogram();
    for (let i = 0; i < 100; i++) h.record(30);
    const median = h.quantile(0.5) ?? 0;
    expect(median).toBeGreaterThan(25);
    expect(median).toBeLessThanOrEqual(50);
    expect(new Histogram().quantile(0.5)).toBeUndefined();
    expect(HISTOGRAM_BOUNDS).toHaveLength(19);
  });
});

describe('the store', () => {
  it('gives the same statistic for the same name', () => {
    const store = new StatsStore();
    store.scope('cluster.a').counter('x').add();
    expect(store.counter('cluster.a.x').value).toBe(1);
  });

  it('forgets a removed scope, unless its successor uses the name already', () => {
    const store = new StatsStore();
    const old = store.scope('cluster.a');
    old.counter('upstream_rq_total').add(5);
    old.scope('ssl').counter('handshake').add();
    const next = store.scope('cluster.a');
    next.counter('upstream_rq_total');
    old.remove?.();
    expect(store.all().map((s) => s.fullName)).toEqual(['cluster.a.upstream_rq_total']);
    next.remove?.();
    expect(store.all()).toEqual([]);
  });

  it('does not take a cluster of a longer name along', () => {
    const store = new StatsStore();
    const a = store.scope('cluster.a');
    a.counter('x');
    store.scope('cluster.ab').counter('x');
    a.remove?.();
    expect(store.all().map((s) => s.fullName)).toEqual(['cluster.ab.x']);
  });

  it('is bounded: what is beyond works, but is not kept', () => {
    const store = new StatsStore({ limit: 2 });
    for (const name of ['a', 'b', 'c']) store.counter(name).add();
    expect(store.all()).toHaveLength(2);
    expect(store.overflow).toBe(1);
  });

  it('keeps only what is included', () => {
    const store = new StatsStore({ include: (name) => name.startsWith('server') });
    store.counter('server.x').add();
    store.counter('cluster.y').add();
    expect(store.all().map((s) => s.fullName)).toEqual(['server.x']);
  });

  it('resets counters, not gauges', () => {
    const store = new StatsStore();
    store.counter('c').add();
    store.gauge('g').set(2);
    store.resetCounters();
    expect(statsText(store.all())).toBe('c: 0\ng: 2\n');
  });

  it('prints JSON', () => {
    const store = new StatsStore();
    store.counter('c').add(2);
    store.histogram('h').record(1);
    expect(JSON.parse(statsJson(store.all()))).toMatchObject({
      stats: [{ name: 'c', value: 2 }, { histograms: { computed_quantiles: [{ name: 'h' }] } }],
    });
  });

  it('names metrics by letters, digits and underscores only', () => {
    const store = new StatsStore();
    store.counter('listener_manager.lds.update-x');
    expect(store.all().map(metricName)).toEqual(['envoy_listener_manager_lds_update_x']);
  });
});
