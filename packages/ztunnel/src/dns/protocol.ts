/** Numbers of the DNS: RFC 1035, RFC 3596, RFC 6891. */

export const HEADER_BYTES = 12;
/** What a client takes in a datagram that doesn't say otherwise. */
export const MIN_UDP_BYTES = 512;

export const Opcode = { query: 0 } as const;
export const DnsClass = { internet: 1 } as const;
export const DnsType = { A: 1, CNAME: 5, SOA: 6, AAAA: 28, OPT: 41 } as const;
export const ResponseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  refused: 5,
} as const;

/** What a client's OPT record says. */
export interface Edns {
  readonly udpBytes: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

/** Types by the names that metrics and logs use; anything else is `unknown` there. */
const typeNames: ReadonlyMap<number, string> = new Map([
  [DnsType.A, 'A'],
  [2, 'NS'],
  [DnsType.CNAME, 'CNAME'],
  [DnsType.SOA, 'SOA'],
  [12, 'PTR'],
  [13, 'HINFO'],
  [15, 'MX'],
  [16, 'TXT'],
  [DnsType.AAAA, 'AAAA'],
  [33, 'SRV'],
  [35, 'NAPTR'],
  [43, 'DS'],
  [48, 'DNSKEY'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
  [251, 'IXFR'],
  [252, 'AXFR'],
  [255, 'ANY'],
  [257, 'CAA'],
]);

export function typeName(type: number | undefined): string {
  return (type !== undefined && typeNames.get(type)) || 'unknown';
}
