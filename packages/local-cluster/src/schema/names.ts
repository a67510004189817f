/** Kubernetes' rules for names. Each returns what is wrong with a text, or undefined. */

const LABEL_LENGTH = 63;
const SUBDOMAIN_LENGTH = 253;

const label1123 = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';

const label1123Pattern = new RegExp(`^${label1123}$`);
const label1035Pattern = new RegExp(`^${label1035}$`);
const subdomainPattern = new RegExp(`^${label1123}(\\.${label1123})*$`);
const qualifiedPattern = new RegExp(`^${qualified}$`);

function regexMessage(message: string, pattern: string, ...examples: readonly string[]): string {
  const quoted = examples.map((example, index) =>
    `${index === 0 ? 'e.g. ' : 'or '} '${example}'`.replace('  ', ' '),
  );
  return `${message} (${quoted.join(', ')}, regex used for validation is '${pattern}')`;
}

export function dns1123Label(text: string): string | undefined {
  if (text.length > LABEL_LENGTH) return `must be no more than ${LABEL_LENGTH} characters`;
  if (label1123Pattern.test(text)) return undefined;
  return regexMessage(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    label1123,
    'my-name',
    '123-abc',
  );
}

export function dns1035Label(text: string): string | undefined {
  if (text.length > LABEL_LENGTH) return `must be no more than ${LABEL_LENGTH} characters`;
  if (label1035Pattern.test(text)) return undefined;
  return regexMessage(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    label1035,
    'my-name',
    'abc-123',
  );
}

export function dns1123Subdomain(text: string): string | undefined {
  if (text.length > SUBDOMAIN_LENGTH) return `must be no more than ${SUBDOMAIN_LENGTH} characters`;
  if (subdomainPattern.test(text)) return undefined;
  return regexMessage(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    `${label1123}(\\.${label1123})*`,
    'example.com',
  );
}

/** Names that become a segment of an address: RBAC objects may have colons and capitals in them. */
export function pathSegmentName(text: string): string | undefined {
  if (text === '.' || text === '..') return `may not be '${text}'`;
  if (text.includes('/')) return "may not contain '/'";
  return text.includes('%') ? "may not contain '%'" : undefined;
}

/** A label or annotation key: `[prefix/]name`. */
export function qualifiedName(text: string): string | undefined {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) {
    return regexMessage(
      "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      qualified,
      'MyName',
      'my.name',
      '123-abc',
    );
  }
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') return 'prefix part must be non-empty';
    const problem = dns1123Subdomain(prefix);
    if (problem !== undefined) return `prefix part ${problem}`;
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > LABEL_LENGTH) return `name part must be no more than ${LABEL_LENGTH} characters`;
  if (qualifiedPattern.test(name)) return undefined;
  return `name part ${regexMessage(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    qualified,
    'MyName',
    'my.name',
    '123-abc',
  )}`;
}

export function labelValue(text: string): string | undefined {
  if (text.length > LABEL_LENGTH) return `must be no more than ${LABEL_LENGTH} characters`;
  if (text === '' || qualifiedPattern.test(text)) return undefined;
  return regexMessage(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    `(${qualified})?`,
    'MyValue',
    'my_value',
    '12345',
  );
}

/** A key of a ConfigMap or Secret: it becomes a file name. */
export function dataKey(text: string): string | undefined {
  if (text.length > SUBDOMAIN_LENGTH) return `must be no more than ${SUBDOMAIN_LENGTH} characters`;
  if (text === '.' || text === '..') return `must not be '${text}'`;
  if (text.startsWith('..')) return "must not start with '..'";
  if (/^[-._a-zA-Z0-9]+$/.test(text)) return undefined;
  return regexMessage(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    '[-._a-zA-Z0-9]+',
    'key.name',
    'KEY_NAME',
    'key-name',
  );
}
