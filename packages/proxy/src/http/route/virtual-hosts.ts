import { invalid } from '../../matching/index.ts';

/**
 * Domains of virtual hosts: exact, then the longest suffix wildcard (`*.x`, `*-x.y`), then the longest prefix wildcard
 * (`x.*`), then `*`. Case doesn't matter.
 */
export class DomainTable<T> {
  private readonly exact = new Map<string, T>();
  private readonly suffixes = new Map<string, T>();
  private readonly prefixes = new Map<string, T>();
  private readonly suffixLengths: number[] = [];
  private readonly prefixLengths: number[] = [];
  private any: T | undefined;

  /** @throws InvalidValue when the domain is there already. */
  add(domain: string, value: T): void {
    const text = domain.toLowerCase();
    if (text === '') invalid('must not be empty');
    if (text === '*') {
      if (this.any !== undefined) invalid('only one virtual host may have the domain "*"');
      this.any = value;
      return;
    }
    if (text.startsWith('*')) insert(this.suffixes, this.suffixLengths, text.slice(1), value, domain);
    else if (text.endsWith('*')) insert(this.prefixes, this.prefixLengths, text.slice(0, -1), value, domain);
    else {
      if (this.exact.has(text)) invalid(`domain "${domain}" is used twice`);
      this.exact.set(text, value);
    }
  }

  find(authority: string): T | undefined {
    const host = authority.toLowerCase();
    const exact = this.exact.get(host);
    if (exact !== undefined) return exact;
    for (const length of this.suffixLengths) {
      // The wildcard stands for at least one character.
      if (length >= host.length) continue;
      const found = this.suffixes.get(host.slice(-length));
      if (found !== undefined) return found;
    }
    for (const length of this.prefixLengths) {
      if (length >= host.length) continue;
      const found = this.prefixes.get(host.slice(0, length));
      if (found !== undefined) return found;
    }
    return this.any;
  }
}

function insert<T>(table: Map<string, T>, lengths: number[], key: string, value: T, domain: string): void {
  if (key.includes('*')) invalid(`domain "${domain}" has more than one wildcard`);
  if (table.has(key)) invalid(`domain "${domain}" is used twice`);
  table.set(key, value);
  if (lengths.includes(key.length)) return;
  lengths.push(key.length);
  lengths.sort((a, b) => b - a);
}
