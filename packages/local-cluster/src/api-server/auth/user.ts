/** Who sends a request. */
export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export const ANONYMOUS: User = { name: 'system:anonymous', groups: ['system:unauthenticated'], extra: {} };
export const AUTHENTICATED_GROUP = 'system:authenticated';
export const MASTERS_GROUP = 'system:masters';
const serviceAccountPrefix = 'system:serviceaccount:';

export function serviceAccountUser(
  namespace: string,
  name: string,
  uid: string,
  extra: User['extra'] = {},
): User {
  return {
    name: `${serviceAccountPrefix}${namespace}:${name}`,
    uid,
    groups: [...serviceAccountGroups(namespace), AUTHENTICATED_GROUP],
    extra,
  };
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
}

/** Namespace and name when the user is a service account. */
export function parseServiceAccountUser(name: string): { namespace: string; name: string } | undefined {
  if (!name.startsWith(serviceAccountPrefix)) return undefined;
  const [namespace, account, ...rest] = name.slice(serviceAccountPrefix.length).split(':');
  return namespace === undefined || account === undefined || rest.length > 0
    ? undefined
    : { namespace, name: account };
}

/** As `UserInfo` of reviews and admission requests. */
export function userInfo(user: User): { [key: string]: string | string[] | { [key: string]: string[] } } {
  const extra = Object.entries(user.extra).map(([key, values]): [string, string[]] => [key, [...values]]);
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}
