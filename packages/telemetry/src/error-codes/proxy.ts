import type { ErrorCodeTable } from '../errors.ts';

/** WEFT21xx. */
export const proxyErrors = {
  WEFT2101: {
    layer: 'proxy',
    title: 'Configuration of the proxy cannot be used',
    next: 'The message names the resource, the field and the reason; the last good version stays in force.',
  },
} as const satisfies ErrorCodeTable;
