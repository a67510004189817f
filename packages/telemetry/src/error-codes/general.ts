import type { ErrorCodeTable } from '../errors.ts';

/** WEFT10xx. */
export const generalErrors = {
  WEFT1001: {
    layer: 'config',
    title: 'A setting has a value that cannot be parsed',
    next: 'Correct the environment variable or chart value that the message names.',
  },
  WEFT1002: {
    layer: 'config',
    title: 'A required setting is missing',
    next: 'Set the environment variable or chart value that the message names.',
  },
} as const satisfies ErrorCodeTable;
