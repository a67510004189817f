/** Of one priority level. */
export interface LevelHealth {
  readonly hosts: number;
  readonly healthy: number;
  readonly degraded: number;
}

export interface LevelLoad {
  /** Percent of the traffic; all levels together 100, or 0 when there is no host at all. */
  readonly healthy: number;
  /** Percent that goes to degraded hosts, because the healthy ones of all levels don't suffice. */
  readonly degraded: number;
  /** Too few healthy hosts to trust health: all of the level's hosts are used. */
  readonly panic: boolean;
}

export const DEFAULT_OVERPROVISIONING_PERCENT = 140;
export const DEFAULT_PANIC_PERCENT = 50;

/**
 * Spreads traffic over priority levels. A level's health is its share of healthy hosts times the overprovisioning
 * factor, at most 100; traffic fills level 0 and spills over, then the same over degraded hosts. When all levels
 * together have less than 100, shares are scaled up to it, and levels below the panic threshold panic.
 */
export function priorityLoads(
  levels: readonly LevelHealth[],
  o: { readonly overprovisioningPercent: number; readonly panicPercent: number },
): LevelLoad[] {
  const availability = (available: number, hosts: number): number =>
    hosts === 0 ? 0 : Math.min(100, (available / hosts) * o.overprovisioningPercent);
  const healthy = levels.map((level) => availability(level.healthy, level.hosts));
  const degraded = levels.map((level) => availability(level.degraded, level.hosts));
  const total = Math.min(100, sum(healthy) + sum(degraded));
  const panic = levels.map(
    (level) =>
      total < 100 &&
      level.hosts > 0 &&
      ((level.healthy + level.degraded) / level.hosts) * 100 < o.panicPercent,
  );
  if (total === 0) return withoutHealth(levels, panic);
  // When every level panics, health means nothing, and load goes by the number of hosts.
  if (levels.every((level, i) => level.hosts === 0 || panic[i] === true)) return withoutHealth(levels, panic);
  let left = 100;
  const fill = (share: number): number => {
    const load = Math.min(left, (share * 100) / total);
    left -= load;
    return load;
  };
  const healthyLoads = healthy.map(fill);
  const degradedLoads = degraded.map(fill);
  return levels.map((_, i) => ({
    healthy: healthyLoads[i] ?? 0,
    degraded: degradedLoads[i] ?? 0,
    panic: panic[i] ?? false,
  }));
}

function withoutHealth(levels: readonly LevelHealth[], panic: readonly boolean[]): LevelLoad[] {
  const hosts = sum(levels.map((level) => level.hosts));
  return levels.map((level, i) => ({
    healthy: hosts === 0 ? 0 : (level.hosts * 100) / hosts,
    degraded: 0,
    panic: panic[i] ?? false,
  }));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
