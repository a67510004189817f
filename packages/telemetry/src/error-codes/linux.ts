import type { ErrorCodeTable } from '../errors.ts';

/** WEFT11xx. */
export const linuxErrors = {
  WEFT1101: {
    layer: 'linux',
    title: 'The process may not enter network namespaces',
    next: 'Run it with the capability SYS_ADMIN (the ztunnel chart grants it) in the pod security policy.',
  },
  WEFT1102: {
    layer: 'linux',
    title: 'The process may not mark its sockets',
    next: 'Run it with the capability NET_ADMIN (the ztunnel chart grants it) in the pod security policy.',
  },
  WEFT1103: {
    layer: 'linux',
    title: 'Listeners may not be transparent, though ENABLE_ORIG_SRC=true asks for it',
    next: 'Grant the capability NET_ADMIN, or unset ENABLE_ORIG_SRC to go on without source addresses.',
  },
} as const satisfies ErrorCodeTable;
