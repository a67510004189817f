import { badRequest } from './api-error.ts';
import {
  objectAt,
  objectsAt,
  stringAt,
  stringsAt,
  textOf,
  valueAt,
  type ApiObject,
  type JsonValue,
} from './object.ts';

export type ObjectFilter = (object: ApiObject) => boolean;

type LabelRequirement =
  | { readonly key: string; readonly operator: 'in' | 'notin'; readonly values: ReadonlySet<string> }
  | { readonly key: string; readonly operator: 'exists' | 'absent' };

const labelKey = /^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?\/)?[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$/;

/** `a=b,c in (d,e),!f,g` as a predicate on labels. Bad syntax is 400. */
export function parseLabelSelector(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  const requirements = splitOutsideParentheses(text).map((part) => parseRequirement(part, text));
  return (labels) => requirements.every((requirement) => matches(requirement, labels));
}

/** The selector of a `metav1.LabelSelector` object; an empty one matches everything. */
export function labelSelectorOf(
  selector: JsonValue | undefined,
): (labels: Readonly<Record<string, string>>) => boolean {
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(objectAt(selector, 'matchLabels') ?? {})) {
    requirements.push({ key, operator: 'in', values: new Set([textOf(value)]) });
  }
  for (const expression of objectsAt(selector, 'matchExpressions')) {
    const key = stringAt(expression, 'key') ?? '';
    const values = new Set(stringsAt(expression, 'values'));
    switch (stringAt(expression, 'operator')) {
      case 'In':
        requirements.push({ key, operator: 'in', values });
        break;
      case 'NotIn':
        requirements.push({ key, operator: 'notin', values });
        break;
      case 'Exists':
        requirements.push({ key, operator: 'exists' });
        break;
      default:
        requirements.push({ key, operator: 'absent' });
    }
  }
  return (labels) => requirements.every((requirement) => matches(requirement, labels));
}

function matches(requirement: LabelRequirement, labels: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case 'in':
      return value !== undefined && requirement.values.has(value);
    case 'notin':
      return value === undefined || !requirement.values.has(value);
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
  }
}

function parseRequirement(part: string, whole: string): LabelRequirement {
  const set =
    /^(\S+)\s+(in|notin)\s+\(([^()]*)\)$/.exec(part) ?? /^(\S+)\s+(in|notin)\(([^()]*)\)$/.exec(part);
  if (set !== null) {
    const values = new Set((set[3] ?? '').split(',').map((value) => value.trim()));
    return { key: checkedKey(set[1] ?? '', whole), operator: set[2] === 'in' ? 'in' : 'notin', values };
  }
  const equality = /^([^\s!=]+)\s*(==|=|!=)\s*(\S*)$/.exec(part);
  if (equality !== null) {
    const operator = equality[2] === '!=' ? 'notin' : 'in';
    return { key: checkedKey(equality[1] ?? '', whole), operator, values: new Set([equality[3] ?? '']) };
  }
  if (part.startsWith('!')) return { key: checkedKey(part.slice(1).trim(), whole), operator: 'absent' };
  return { key: checkedKey(part, whole), operator: 'exists' };
}

function checkedKey(key: string, whole: string): string {
  if (!labelKey.test(key))
    throw badRequest(
      `unable to parse requirement: invalid label key ${JSON.stringify(key)} in ${JSON.stringify(whole)}`,
    );
  return key;
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index++) {
    const character = text[index];
    if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === undefined || (character === ',' && depth === 0)) {
      const part = text.slice(start, index).trim();
      if (part !== '') parts.push(part);
      start = index + 1;
    }
  }
  return parts;
}

/** Fields that field selectors may name, besides `metadata.name` and `metadata.namespace`. */
const selectableFields: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  secrets: ['type'],
  namespaces: ['status.phase'],
  nodes: ['spec.unschedulable'],
  services: ['spec.clusterIP', 'spec.type'],
  replicasets: ['status.replicas'],
  jobs: ['status.successful'],
};

/** Fields whose absence means something else than the empty string. */
const fieldDefaults: Readonly<Record<string, string>> = {
  'spec.hostNetwork': 'false',
  'spec.unschedulable': 'false',
  'status.replicas': '0',
};

/** `spec.nodeName=n1,status.phase!=Failed` as a predicate. A field the resource doesn't offer is 400. */
export function parseFieldSelector(
  resource: { readonly plural: string; readonly selectableFields?: readonly string[] },
  text: string,
): ObjectFilter {
  const allowed = [...(selectableFields[resource.plural] ?? []), ...(resource.selectableFields ?? [])];
  const terms = text
    .split(/(?<!\\),/)
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const term = /^([^!=]+)(==|=|!=)(.*)$/s.exec(part.trim());
      if (term === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      const field = (term[1] ?? '').trim();
      if (field !== 'metadata.name' && field !== 'metadata.namespace' && !allowed.includes(field)) {
        throw badRequest(`field label not supported: ${field}`);
      }
      const value = (term[3] ?? '').replace(/\\([,=\\])/g, '$1');
      return { field, path: fieldPath(field), value, equal: term[2] !== '!=' };
    });
  return (object) =>
    terms.every(({ field, path, value, equal }) => {
      const actual = valueAt(object, ...path);
      const present = actual === undefined || actual === null ? (fieldDefaults[field] ?? '') : textOf(actual);
      return (present === value) === equal;
    });
}

function fieldPath(field: string): readonly string[] {
  return field === 'source' ? ['source', 'component'] : field.split('.').filter((name) => name !== '');
}

/** Both selectors of a request as one predicate; undefined when there are none. */
export function objectFilter(
  resource: { readonly plural: string; readonly selectableFields?: readonly string[] },
  parameters: URLSearchParams,
): ObjectFilter | undefined {
  const labels = parameters.get('labelSelector');
  const fields = parameters.get('fieldSelector');
  const filters: ObjectFilter[] = [];
  if (labels !== null && labels !== '') {
    const selected = parseLabelSelector(labels);
    filters.push((object) => selected(object.metadata.labels ?? {}));
  }
  if (fields !== null && fields !== '') filters.push(parseFieldSelector(resource, fields));
  if (filters.length === 0) return undefined;
  return (object) => filters.every((filter) => filter(object));
}
