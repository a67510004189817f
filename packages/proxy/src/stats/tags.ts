export type Tags = Readonly<Record<string, string>>;

/** What a full name says apart: the metric's own name and the labels that Envoy takes out of it. */
export interface TaggedName {
  readonly name: string;
  readonly tags: Tags;
}

/** `envoy`: envoy_cluster_name, class "2". `istio`: the names that Istio's bootstrap asks for: cluster_name, "2xx". */
export type TagStyle = 'envoy' | 'istio';

const OWNER_TAG: Readonly<Record<string, string>> = {
  cluster: 'cluster_name',
  http: 'http_conn_manager_prefix',
  listener: 'listener_address',
  tcp: 'tcp_prefix',
};

/** A scope's prefix: `cluster.<name>` is one owner, however many dots the name has. */
export interface ScopePrefix {
  /** Of the full name, with dots: `cluster.a.b.c`. */
  readonly full: string;
  /** Of the tagged name: `cluster`. */
  readonly base: string;
  readonly tags: Tags;
}

export const rootPrefix: ScopePrefix = { full: '', base: '', tags: {} };

/**
 * Envoy finds tags by regular expressions over whole names, and cuts names with dots in the wrong place. The scopes
 * know better: the first scope below `cluster`, `http`, `listener` or `tcp` is the owner's name.
 */
export function childPrefix(parent: ScopePrefix, segment: string, style: TagStyle): ScopePrefix {
  const full = join(parent.full, segment);
  if (parent.base === '') {
    const dot = segment.indexOf('.');
    const kind = dot < 0 ? segment : segment.slice(0, dot);
    const tag = OWNER_TAG[kind];
    if (tag !== undefined && dot >= 0) {
      return { full, base: kind, tags: { [label(tag, style)]: segment.slice(dot + 1) } };
    }
    return { full, base: segment, tags: {} };
  }
  const tag = OWNER_TAG[parent.base];
  if (tag !== undefined && Object.keys(parent.tags).length === 0) {
    return { full, base: parent.base, tags: { [label(tag, style)]: segment } };
  }
  return { full, base: join(parent.base, segment), tags: parent.tags };
}

/** The name of a statistic in a scope, with the response code taken out of it. */
export function taggedName(prefix: ScopePrefix, name: string, style: TagStyle): TaggedName {
  // Without a scope, `cluster.<name>.<stat>`: owner up to the last dot, for statistics' own names rarely have one.
  const unscoped = prefix.base === '' ? /^(cluster|http|listener|tcp)\.(.+)\.([^.]+)$/s.exec(name) : null;
  if (unscoped !== null) {
    const [, kind = '', owner = '', rest = ''] = unscoped;
    return taggedName(childPrefix(prefix, `${kind}.${owner}`, style), rest, style);
  }
  const code = /^(.*_rq)_(\d{3})$/.exec(name);
  if (code !== null) {
    return tagged(prefix, code[1] ?? '', { [label('response_code', style)]: code[2] ?? '' });
  }
  const group = /^(.*_rq)_(\d)xx$/.exec(name);
  if (group !== null) {
    const value = style === 'istio' ? `${group[2]}xx` : (group[2] ?? '');
    return tagged(prefix, `${group[1]}_xx`, { [label('response_code_class', style)]: value });
  }
  return tagged(prefix, name, {});
}

function tagged(prefix: ScopePrefix, name: string, tags: Tags): TaggedName {
  return { name: join(prefix.base, name), tags: { ...prefix.tags, ...tags } };
}

export function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

function label(tag: string, style: TagStyle): string {
  return style === 'istio' ? tag : `envoy_${tag}`;
}
