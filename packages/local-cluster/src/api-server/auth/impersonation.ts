import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../api-error.ts';
import { denialMessage, impersonationRequests, type RbacAuthorizer } from './rbac.ts';
import { AUTHENTICATED_GROUP, parseServiceAccountUser, serviceAccountGroups, type User } from './user.ts';

const EXTRA_PREFIX = 'impersonate-extra-';

/** The user a request is to be served as: `--as` and `--as-group` of kubectl. 403 unless the sender may. */
export function impersonate(authorizer: RbacAuthorizer, user: User, headers: IncomingHttpHeaders): User {
  const name = header(headers, 'impersonate-user')[0];
  const groups = header(headers, 'impersonate-group');
  if (name === undefined) {
    if (groups.length === 0) return user;
    throw new ApiError(400, 'BadRequest', 'requested impersonation without impersonating a user');
  }
  const uid = header(headers, 'impersonate-uid')[0];
  const target: User = { name, groups, ...(uid === undefined ? {} : { uid }), extra: extraOf(headers) };
  for (const request of impersonationRequests(target)) {
    const decision = authorizer.authorize(user, request);
    if (!decision.allowed && request.kind === 'resource') {
      const subject = `${request.resource}${request.group === '' ? '' : `.${request.group}`}`;
      const message = `${subject} "${request.name ?? ''}" is forbidden: ${denialMessage(user, request, decision.reason)}`;
      throw new ApiError(403, 'Forbidden', message, { name: request.name ?? '', kind: request.resource });
    }
  }
  const account = parseServiceAccountUser(name);
  const implied = account !== undefined && groups.length === 0 ? serviceAccountGroups(account.namespace) : [];
  const own = name === 'system:anonymous' ? 'system:unauthenticated' : AUTHENTICATED_GROUP;
  return { ...target, groups: [...new Set([...groups, ...implied, own])] };
}

function extraOf(headers: IncomingHttpHeaders): User['extra'] {
  const extra: Record<string, readonly string[]> = {};
  for (const key of Object.keys(headers)) {
    if (key.startsWith(EXTRA_PREFIX))
      extra[decodeURIComponent(key.slice(EXTRA_PREFIX.length))] = header(headers, key);
  }
  return extra;
}

/** Values of a header that may be given several times; Node joins them by commas. */
function header(headers: IncomingHttpHeaders, name: string): readonly string[] {
  const value = headers[name];
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : value.split(','))
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
