import { ApiError, badRequest, expired } from '../api-error.ts';
import type { ApiObject, JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';
import { objectFilter } from '../selectors.ts';
import type { Store } from '../store/store.ts';
import { present } from './representation.ts';

export interface ListPage {
  readonly objects: readonly ApiObject[];
  readonly metadata: JsonObject;
}

/** One page of a list. Later pages come from the present state; their revision stays that of the first page. */
export function listPage(
  store: Store,
  resource: Resource,
  namespace: string | undefined,
  name: string | undefined,
  parameters: URLSearchParams,
): ListPage {
  checkResourceVersion(store, parameters);
  const filter = objectFilter(resource, parameters);
  const token = parseContinue(parameters.get('continue'));
  let objects = store.list(resource.collection, namespace).map((stored) => present(resource, stored));
  if (name !== undefined) objects = objects.filter(({ metadata }) => metadata.name === name);
  if (filter !== undefined) objects = objects.filter(filter);
  if (token !== undefined) objects = objects.filter((object) => position(object) > token.after);

  const revision = token?.revision ?? store.revision;
  const limit = Number(parameters.get('limit') ?? 0);
  const metadata: JsonObject = { resourceVersion: String(revision) };
  const last = limit > 0 && objects.length > limit ? objects[limit - 1] : undefined;
  if (last !== undefined) {
    metadata['continue'] = formatContinue({ revision, after: position(last) });
    // With selectors the real server doesn't know how many would follow.
    if (filter === undefined) metadata['remainingItemCount'] = objects.length - limit;
    objects = objects.slice(0, limit);
  }
  return { objects, metadata };
}

/** A client that has seen a newer state than this server must not be given an older one. */
export function checkResourceVersion(store: Store, parameters: URLSearchParams): void {
  const text = parameters.get('resourceVersion') ?? '';
  const match = parameters.get('resourceVersionMatch') ?? '';
  if (match !== '' && match !== 'Exact' && match !== 'NotOlderThan') {
    throw badRequest(`resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}`);
  }
  const revision = parseResourceVersion(text);
  if (revision > store.revision) {
    throw new ApiError(
      504,
      'Timeout',
      `Too large resource version: ${revision}, current: ${store.revision}`,
      {
        retryAfterSeconds: 1,
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      },
    );
  }
  if (match === 'Exact' && revision !== 0 && revision < store.revision) {
    throw expired(`The resourceVersion for the provided list is too old.`);
  }
}

export function parseResourceVersion(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(
      `Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return Number(text);
}

interface ContinueToken {
  readonly revision: number;
  /** Position of the last object of the page before. */
  readonly after: string;
}

function position({ metadata }: ApiObject): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
}

function formatContinue(token: ContinueToken): string {
  return Buffer.from(JSON.stringify([token.revision, token.after])).toString('base64url');
}

function parseContinue(text: string | null): ContinueToken | undefined {
  if (text === null || text === '') return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (Array.isArray(parsed) && typeof parsed[0] === 'number' && typeof parsed[1] === 'string') {
      return { revision: parsed[0], after: parsed[1] };
    }
  } catch {
    // Answered below.
  }
  throw badRequest('continue key is not valid');
}
