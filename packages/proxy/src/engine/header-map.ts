/** Fields that HTTP/2 calls pseudo header fields; HTTP/1 has them in its start line and `host`. */
export type PseudoHeader = ':method' | ':path' | ':authority' | ':scheme' | ':status' | ':protocol';

/**
 * The header section of one message: an ordered multimap of lower-case names, and the pseudo fields apart, for they
 * are single and control routing. Values are as on the wire (bytes as Latin-1), without surrounding white space.
 * `get`, `has`, `set` and `delete` also take pseudo names, and `host` as another name of `:authority`.
 */
export class HeaderMap {
  method: string | undefined;
  path: string | undefined;
  authority: string | undefined;
  scheme: string | undefined;
  /** Of responses: 100 to 599. */
  status: number | undefined;
  /** Of extended CONNECT (RFC 8441) and HTTP/1.1 Upgrade: `websocket`. */
  protocol: string | undefined;
  /** name, value, name, value…: one array, because a request's headers are short and mostly walked. */
  /** HTTP/1: names as they were spelled, by lower-case name, where whoever sends them on is to keep that. */
  spelling: ReadonlyMap<string, string> | undefined;
  private fields: string[];

  constructor(fields: string[] = []) {
    this.fields = fields;
  }

  static request(o: {
    method: string;
    path?: string;
    authority?: string;
    scheme?: string;
    fields?: readonly (readonly [string, string])[];
  }): HeaderMap {
    const headers = new HeaderMap(o.fields?.flatMap(([name, value]) => [name.toLowerCase(), value]));
    headers.method = o.method;
    headers.path = o.path;
    headers.authority = o.authority;
    headers.scheme = o.scheme;
    return headers;
  }

  static response(status: number, fields?: Readonly<Record<string, string>>): HeaderMap {
    const headers = new HeaderMap(
      fields && Object.entries(fields).flatMap(([name, value]) => [name.toLowerCase(), value]),
    );
    headers.status = status;
    return headers;
  }

  /** Number of header lines, pseudo fields excluded. */
  get size(): number {
    return this.fields.length / 2;
  }

  /** The first line of that name. */
  get(name: string): string | undefined {
    const key = name.toLowerCase();
    const pseudo = pseudoOf(key);
    if (pseudo !== undefined) return this.pseudo(pseudo);
    const { fields } = this;
    for (let i = 0; i < fields.length; i += 2) if (fields[i] === key) return fields[i + 1];
    return undefined;
  }

  /** Every line of that name, in order. */
  getAll(name: string): readonly string[] {
    const key = name.toLowerCase();
    const pseudo = pseudoOf(key);
    if (pseudo !== undefined) {
      const value = this.pseudo(pseudo);
      return value === undefined ? [] : [value];
    }
    const values: string[] = [];
    const { fields } = this;
    for (let i = 0; i < fields.length; i += 2) if (fields[i] === key) values.push(fields[i + 1] ?? '');
    return values;
  }

  /** All lines of that name joined with `,`, as logs print them. */
  joined(name: string): string | undefined {
    const values = this.getAll(name);
    return values.length === 0 ? undefined : values.join(',');
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Replaces all lines of that name by one; a new one comes last. */
  set(name: string, value: string): void {
    const key = name.toLowerCase();
    const pseudo = pseudoOf(key);
    if (pseudo !== undefined) return this.setPseudo(pseudo, value);
    const { fields } = this;
    let at = -1;
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] !== key) continue;
      if (at < 0) at = i;
      else {
        fields.splice(i, 2);
        i -= 2;
      }
    }
    if (at < 0) fields.push(key, value);
    else fields[at + 1] = value;
  }

  /** Adds a line, whatever there is. */
  append(name: string, value: string): void {
    const key = name.toLowerCase();
    const pseudo = pseudoOf(key);
    if (pseudo !== undefined) return this.setPseudo(pseudo, value);
    this.fields.push(key, value);
  }

  /** Removes all lines of that name; false when there was none. */
  delete(name: string): boolean {
    const key = name.toLowerCase();
    const pseudo = pseudoOf(key);
    if (pseudo !== undefined) {
      const had = this.pseudo(pseudo) !== undefined;
      this.setPseudo(pseudo, undefined);
      return had;
    }
    const { fields } = this;
    const before = fields.length;
    for (let i = 0; i < fields.length; ) {
      if (fields[i] === key) fields.splice(i, 2);
      else i += 2;
    }
    return fields.length !== before;
  }

  deleteWhere(condition: (name: string, value: string) => boolean): void {
    const kept: string[] = [];
    for (const [name, value] of this) if (!condition(name, value)) kept.push(name, value);
    this.fields = kept;
  }

  /** Header lines in order, without pseudo fields. */
  *[Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    const { fields } = this;
    for (let i = 0; i < fields.length; i += 2) yield [fields[i] ?? '', fields[i + 1] ?? ''];
  }

  /** For codecs: the flat list itself, name, value, name, value…, not to be changed. */
  get flat(): readonly string[] {
    return this.fields;
  }

  clone(): HeaderMap {
    const copy = new HeaderMap([...this.fields]);
    copy.method = this.method;
    copy.path = this.path;
    copy.authority = this.authority;
    copy.scheme = this.scheme;
    copy.status = this.status;
    copy.protocol = this.protocol;
    copy.spelling = this.spelling;
    return copy;
  }

  private pseudo(name: PseudoHeader): string | undefined {
    switch (name) {
      case ':method':
        return this.method;
      case ':path':
        return this.path;
      case ':authority':
        return this.authority;
      case ':scheme':
        return this.scheme;
      case ':status':
        return this.status === undefined ? undefined : String(this.status);
      case ':protocol':
        return this.protocol;
    }
  }

  private setPseudo(name: PseudoHeader, value: string | undefined): void {
    switch (name) {
      case ':method':
        this.method = value;
        return;
      case ':path':
        this.path = value;
        return;
      case ':authority':
        this.authority = value;
        return;
      case ':scheme':
        this.scheme = value;
        return;
      case ':status':
        this.status = value === undefined ? undefined : Number(value);
        return;
      case ':protocol':
        this.protocol = value;
    }
  }
}

function pseudoOf(key: string): PseudoHeader | undefined {
  if (key === 'host') return ':authority';
  if (key.charCodeAt(0) !== 0x3a) return undefined;
  switch (key) {
    case ':method':
    case ':path':
    case ':authority':
    case ':scheme':
    case ':status':
    case ':protocol':
      return key;
    default:
      return undefined;
  }
}
