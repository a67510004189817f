export type WorkloadType = 'deployment' | 'cronjob' | 'pod' | 'job';

/** What the `baggage` header says about a workload. Absent and empty are the same. */
export interface Baggage {
  readonly clusterId?: string;
  readonly namespace?: string;
  readonly workloadType?: WorkloadType;
  readonly workloadName?: string;
  /** Canonical name. */
  readonly serviceName?: string;
  /** Canonical revision. */
  readonly serviceVersion?: string;
  readonly region?: string;
  readonly zone?: string;
}

const workloadKey: Readonly<Record<WorkloadType, string>> = {
  deployment: 'k8s.deployment.name',
  cronjob: 'k8s.cronjob.name',
  pod: 'k8s.pod.name',
  job: 'k8s.job.name',
};
const workloadTypeOf: ReadonlyMap<string, WorkloadType> = new Map(
  // Object.entries widens the keys of the record above.
  Object.entries(workloadKey).map(([type, key]) => [key, type as WorkloadType] as const),
);

/** Keys beyond this are not looked at. */
const MAX_MEMBERS = 64;
/** An octet that a header value or the list syntax can't carry; the format knows no escaping. */
// oxlint-disable-next-line no-control-regex -- these octets are what must not get through
const unsafe = /[^\x21-\x2b\x2d-\x7e]/;

/** ztunnel's order, without spaces; what the format can't carry is left out. */
export function formatBaggage(b: Baggage): string {
  const members: string[] = [];
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined && value !== '' && !unsafe.test(value)) members.push(`${key}=${value}`);
  };
  add('k8s.cluster.name', b.clusterId);
  add('k8s.namespace.name', b.namespace);
  if (b.workloadType !== undefined) add(workloadKey[b.workloadType], b.workloadName);
  add('service.name', b.serviceName);
  add('service.version', b.serviceVersion);
  add('cloud.region', b.region);
  add('cloud.availability_zone', b.zone);
  return members.join(',');
}

/** Reads what it knows and ignores the rest: baggage only labels telemetry. */
export function parseBaggage(text: string): Baggage {
  const baggage: { -readonly [K in keyof Baggage]: Baggage[K] } = {};
  for (const member of text.split(',', MAX_MEMBERS)) {
    const cut = member.indexOf('=');
    const value = member.slice(cut + 1);
    if (cut < 0 || value === '') continue;
    const key = member.slice(0, cut);
    switch (key) {
      case 'k8s.cluster.name':
        baggage.clusterId = value;
        break;
      case 'k8s.namespace.name':
        baggage.namespace = value;
        break;
      case 'service.name':
        baggage.serviceName = value;
        break;
      case 'service.version':
        baggage.serviceVersion = value;
        break;
      case 'cloud.region':
        baggage.region = value;
        break;
      case 'cloud.availability_zone':
        baggage.zone = value;
        break;
      default: {
        const type = workloadTypeOf.get(key);
        if (type === undefined) continue;
        baggage.workloadType = type;
        baggage.workloadName = value;
      }
    }
  }
  return baggage;
}
