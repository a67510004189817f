import { BlockList, isIP } from 'node:net';
import {
  type CelFunc,
  type CelList,
  type CelMap,
  CelScalar,
  type CelValue,
  celFunc,
  celList,
  celMap,
  celMethod,
  listType,
  mapType,
} from '@bufbuild/cel';
import { isCidr, isDateTime } from './formats.ts';
import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from './names.ts';

const { BOOL, DYN, INT, STRING } = CelScalar;

/**
 * Values of types that the CEL library doesn't know are maps with a member `kind`, and an optional is a list of
 * none or one.
 */
const RECORD = mapType(STRING, DYN);
const OPTIONAL = listType(DYN);

function record(kind: string, members: Readonly<Record<string, CelValue>>): CelMap {
  return celMap(new Map<string, CelValue>([['kind', kind], ...Object.entries(members)]));
}

function textOf(value: CelMap, name: string): string {
  const found = value.get(name);
  if (typeof found !== 'string') throw new Error(`no such overload: the value has no ${name}`);
  return found;
}

function intOf(value: CelMap, name: string): bigint {
  const found = value.get(name);
  if (typeof found !== 'bigint') throw new Error(`no such overload: the value has no ${name}`);
  return found;
}

const urls: readonly CelFunc[] = [
  celFunc('isURL', [STRING], BOOL, (text) => parseUrl(text) !== undefined),
  celFunc('url', [STRING], RECORD, (text) => {
    const parsed = parseUrl(text);
    if (parsed === undefined) throw new Error(`URL parse error during conversion from string: ${text}`);
    return parsed;
  }),
  ...(['Scheme', 'Host', 'Hostname', 'Port', 'EscapedPath'] as const).map((part) =>
    celMethod(`get${part}`, RECORD, [], STRING, function () {
      return textOf(this, part);
    }),
  ),
];

/** As Go's url.ParseRequestURI: an absolute URL or an absolute path. */
function parseUrl(text: string): CelMap | undefined {
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?(\/[^?#]*)?(\?[^#]*)?$/.exec(text);
  if (match === null || /[\s\p{Cc}]/u.test(text)) return undefined;
  const [, scheme = '', authority = '', path = ''] = match;
  if (scheme === '' && (authority !== '' || path === '')) return undefined;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const port = /:(\d*)$/.exec(host)?.[1] ?? '';
  const hostname = host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
  return record('url', {
    Scheme: scheme.toLowerCase(),
    Host: host,
    Hostname: hostname,
    Port: port,
    EscapedPath: path,
  });
}

const addresses: readonly CelFunc[] = [
  celFunc('isIP', [STRING], BOOL, (text) => isIP(text) !== 0),
  celFunc('ip', [STRING], RECORD, ip),
  celFunc('ip.isCanonical', [STRING], BOOL, (text) => canonicalAddress(text) === text),
  celMethod('family', RECORD, [], INT, function () {
    return intOf(this, 'family');
  }),
  celMethod('isLoopback', RECORD, [], BOOL, function () {
    return inRange(textOf(this, 'address'), ['127.0.0.0/8', '::1/128']);
  }),
  celMethod('isUnspecified', RECORD, [], BOOL, function () {
    return inRange(textOf(this, 'address'), ['0.0.0.0/32', '::/128']);
  }),
  celMethod('isLinkLocalUnicast', RECORD, [], BOOL, function () {
    return inRange(textOf(this, 'address'), ['169.254.0.0/16', 'fe80::/10']);
  }),
  celMethod('isLinkLocalMulticast', RECORD, [], BOOL, function () {
    return inRange(textOf(this, 'address'), ['224.0.0.0/24', 'ff02::/16']);
  }),
  celMethod('isGlobalUnicast', RECORD, [], BOOL, function () {
    const others = ['0.0.0.0/32', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '255.255.255.255/32'];
    return !inRange(textOf(this, 'address'), [...others, '::/127', 'fe80::/10', 'ff00::/8']);
  }),
  celFunc('isCIDR', [STRING], BOOL, isCidr),
  celFunc('cidr', [STRING], RECORD, cidr),
  celMethod('prefixLength', RECORD, [], INT, function () {
    return intOf(this, 'prefixLength');
  }),
  celMethod('ip', RECORD, [], RECORD, function () {
    return ip(textOf(this, 'address'));
  }),
  celMethod('containsIP', RECORD, [STRING], BOOL, function (address) {
    return inRange(address, [textOf(this, 'text')]);
  }),
  celMethod('containsCIDR', RECORD, [STRING], BOOL, function (inner) {
    const other = cidr(inner);
    return (
      intOf(other, 'prefixLength') >= intOf(this, 'prefixLength') &&
      inRange(textOf(other, 'address'), [textOf(this, 'text')])
    );
  }),
];

function ip(text: string): CelMap {
  const family = isIP(text);
  if (family === 0)
    throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
  return record('ip', { address: text, family: BigInt(family) });
}

function cidr(text: string): CelMap {
  if (!isCidr(text)) throw new Error(`network address parse error during conversion from string: ${text}`);
  const [address = '', length = ''] = text.split('/');
  return record('cidr', { text, address, prefixLength: BigInt(length), family: BigInt(isIP(address)) });
}

function inRange(address: string, ranges: readonly string[]): boolean {
  const family = isIP(address);
  if (family === 0)
    throw new Error(`IP Address ${JSON.stringify(address)} parse error during conversion from string`);
  const list = new BlockList();
  const kind = family === 6 ? 'ipv6' : 'ipv4';
  for (const range of ranges) {
    const [network = '', length = ''] = range.split('/');
    if (isIP(network) === family) list.addSubnet(network, Number(length), kind);
  }
  return list.check(address, kind);
}

function canonicalAddress(text: string): string {
  const family = isIP(text);
  if (family === 0)
    throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
  // The URL parser prints IPv6 addresses as RFC 5952 wants them.
  return family === 4 ? text : new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

/** `format.dns1123Label().validate(x)` is an optional list of complaints. */
const formats: ReadonlyMap<string, (text: string) => string | undefined> = new Map([
  ['dns1123Label', dns1123Label],
  ['dns1123Subdomain', dns1123Subdomain],
  ['dns1035Label', dns1035Label],
  ['qualifiedName', qualifiedName],
  ['labelValue', labelValue],
  ['dns1123LabelPrefix', (text) => dns1123Label(text.replace(/-$/, ''))],
  ['dns1123SubdomainPrefix', (text) => dns1123Subdomain(text.replace(/[-.]$/, ''))],
  ['dns1035LabelPrefix', (text) => dns1035Label(text.replace(/-$/, ''))],
  ['uri', (text) => (parseUrl(text) === undefined ? 'must be a URI' : undefined)],
  [
    'uuid',
    (text) => (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? undefined : 'must be a UUID'),
  ],
  [
    'byte',
    (text) => (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 ? undefined : 'must be base64'),
  ],
  ['date', (text) => (/^\d{4}-\d\d-\d\d$/.test(text) ? undefined : 'must be a date')],
  ['datetime', (text) => (isDateTime(text) ? undefined : 'must be a date-time')],
]);

const formatFunctions: readonly CelFunc[] = [
  ...[...formats.keys()].map((name) =>
    celFunc(`format.${name}`, [], RECORD, () => record('format', { name })),
  ),
  celMethod('validate', RECORD, [STRING], OPTIONAL, function (text) {
    const problem = formats.get(textOf(this, 'name'))?.(text);
    return celList(problem === undefined ? [] : [celList([problem])]);
  }),
];

const optionals: readonly CelFunc[] = [
  celMethod('hasValue', OPTIONAL, [], BOOL, function () {
    return [...this].length > 0;
  }),
  celMethod('value', OPTIONAL, [], DYN, function () {
    const [value] = this;
    if (value === undefined) throw new Error('optional.none() dereference');
    return value;
  }),
  celMethod('orValue', OPTIONAL, [DYN], DYN, function (otherwise) {
    const [value] = this;
    return value ?? otherwise;
  }),
];

const lists: readonly CelFunc[] = [
  celMethod('indexOf', listType(DYN), [DYN], INT, function (wanted) {
    return BigInt([...this].indexOf(wanted));
  }),
  celMethod('lastIndexOf', listType(DYN), [DYN], INT, function (wanted) {
    return BigInt([...this].lastIndexOf(wanted));
  }),
  celMethod('isSorted', listType(DYN), [], BOOL, function () {
    const items = [...this];
    return items.every((item, index) => index === 0 || !(comparable(items[index - 1]) > comparable(item)));
  }),
  celMethod('sum', listType(DYN), [], DYN, function () {
    return sum(this);
  }),
  celMethod('min', listType(DYN), [], DYN, function () {
    return [...this].reduce((least, item) => (comparable(item) < comparable(least) ? item : least));
  }),
  celMethod('max', listType(DYN), [], DYN, function () {
    return [...this].reduce((most, item) => (comparable(item) > comparable(most) ? item : most));
  }),
];

function comparable(value: CelValue | undefined): bigint | number | string {
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'string') return value;
  throw new Error('no such overload: the items of the list have no order');
}

function sum(items: CelList): CelValue {
  const values = [...items];
  if (values.every((item) => typeof item === 'bigint'))
    return values.reduce((total, item) => total + item, 0n);
  return values.reduce<number>((total, item) => {
    if (typeof item !== 'number') throw new Error('no such overload: sum');
    return total + item;
  }, 0);
}

/** The functions that Kubernetes adds to CEL, as far as CRDs and policies of this field use them. */
export const kubernetesFunctions: CelFunc[] = [
  ...urls,
  ...addresses,
  ...formatFunctions,
  ...optionals,
  ...lists,
];
