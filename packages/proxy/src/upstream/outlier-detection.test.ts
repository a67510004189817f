import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { defaultOutlierDetection, type OutlierDetectionConfig } from './outlier-config.ts';
import { OutlierDetector, type OutlierMonitor } from './outlier-detection.ts';

function setup(hosts: number, config: Partial<OutlierDetectionConfig> = {}) {
  const clock = new ManualClock();
  const events: string[] = [];
  const detector = new OutlierDetector({
    config: { ...defaultOutlierDetection, ...config },
    clock,
    random: () => 0,
    events: {
      onDetected: (reason, outcome) => events.push(`${reason} ${outcome}`),
      onChange: () => events.push('change'),
    },
  });
  const monitors = Array.from({ length: hosts }, () => detector.createMonitor());
  detector.setMonitors(monitors);
  return { clock, events, detector, monitors };
}

function respond(monitor: OutlierMonitor | undefined, status: number, times: number): void {
  for (let i = 0; i < times; i++) monitor?.report({ kind: 'response', status });
}

describe('outlier detection', () => {
  it('ejects a host at the fifth 5xx in a row, and not when a success came between', () => {
    const { monitors, events } = setup(10);
    respond(monitors[0], 500, 4);
    respond(monitors[0], 200, 1);
    respond(monitors[0], 500, 4);
    expect(monitors[0]?.isEjected).toBe(false);
    respond(monitors[0], 500, 1);
    expect(monitors[0]?.isEjected).toBe(true);
    expect(events).toEqual(['consecutive_5xx ejected', 'change']);
  });

  it('ejects nobody of two hosts at 10 percent, unless one is always ejected', () => {
    const { monitors, events } = setup(2);
    respond(monitors[0], 500, 5);
    expect(events).toEqual(['consecutive_5xx overflow']);
    const always = setup(2, { alwaysEjectOneHost: true });
    respond(always.monitors[0], 500, 5);
    respond(always.monitors[1], 500, 5);
    expect(always.monitors.map((m) => m.isEjected)).toEqual([true, false]);
  });

  it('can eject everybody at 100 percent', () => {
    const { monitors } = setup(3, { maxEjectionPercent: 100 });
    for (const monitor of monitors) respond(monitor, 503, 5);
    expect(monitors.every((m) => m.isEjected)).toBe(true);
  });

  it('lets a host back after the base time times its ejections, and forgets one per healthy interval', async () => {
    const { clock, monitors } = setup(10);
    const [bad] = monitors;
    respond(bad, 500, 5);
    await clock.advance(29_000);
    expect(bad?.isEjected).toBe(true);
    await clock.advance(1_000);
    expect(bad?.isEjected).toBe(false);
    respond(bad, 500, 5);
    await clock.advance(59_000);
    expect(bad?.isEjected).toBe(true);
    await clock.advance(1_000);
    expect(bad?.isEjected).toBe(false);
    expect(bad?.ejectionCount).toBe(2);
    await clock.advance(20_000);
    expect(bad?.ejectionCount).toBe(0);
  });

  it('never ejects for longer than the maximum', async () => {
    const { clock, monitors } = setup(10, { baseEjectionTimeMs: 100_000, maxEjectionTimeMs: 150_000 });
    const [bad] = monitors;
    for (let i = 0; i < 5; i++) {
      respond(bad, 500, 5);
      await clock.advance(150_000);
      expect(bad?.isEjected).toBe(false);
    }
  });

  it('counts what happens on this side as a 503, or apart when told so', () => {
    const joined = setup(10, { enforcingConsecutiveGatewayFailure: 100, enforcingConsecutive5xx: 0 });
    for (let i = 0; i < 5; i++) joined.monitors[0]?.report({ kind: 'local-origin', success: false });
    expect(joined.events).toContain('consecutive_gateway_failure ejected');
    const split = setup(10, { splitExternalLocalOriginErrors: true });
    respond(split.monitors[0], 500, 4);
    for (let i = 0; i < 4; i++) split.monitors[0]?.report({ kind: 'local-origin', success: false });
    expect(split.monitors[0]?.isEjected).toBe(false);
    split.monitors[0]?.report({ kind: 'local-origin', success: false });
    expect(split.events).toContain('consecutive_local_origin_failure ejected');
  });

  it('ejects by success rate against the mean of the others', async () => {
    const { clock, monitors, events } = setup(6, { consecutive5xx: 1000, maxEjectionPercent: 50 });
    for (const [i, monitor] of monitors.entries()) {
      respond(monitor, 200, i === 0 ? 20 : 100);
      respond(monitor, 500, i === 0 ? 80 : 0);
    }
    await clock.advance(10_000);
    expect(events).toContain('success_rate ejected');
    expect(monitors.map((m) => m.isEjected)).toEqual([true, false, false, false, false, false]);
  });

  it('ejects by failure percentage where that is enforced', async () => {
    const o = { consecutive5xx: 1000, enforcingSuccessRate: 0, enforcingFailurePercentage: 100 };
    const { clock, monitors } = setup(10, o);
    for (const [i, monitor] of monitors.entries()) respond(monitor, i === 3 ? 500 : 200, 50);
    await clock.advance(10_000);
    expect(monitors[3]?.isEjected).toBe(true);
  });

  it('keeps one timer, and none without hosts', () => {
    const { clock, detector } = setup(3);
    expect(clock.pending).toBe(1);
    detector.setMonitors([]);
    expect(clock.pending).toBe(0);
  });
});
