import type { ErrorCodeTable } from '../errors.ts';

/** WEFT21xx. */
export const proxyErrors = {
  WEFT2101: {
    layer: 'proxy',
    title: 'Configuration of the proxy cannot be used',
    next: 'The message names the resource, the field and the reason; the last good version stays in force.',
  },
  WEFT2102: {
    layer: 'proxy',
    title: 'The bootstrap file cannot be used',
    next: 'Check the file that the message names against the field that it names.',
  },
  WEFT2103: {
    layer: 'proxy',
    title: 'The proxy cannot start',
    next: 'The message says what is missing: a free port, a certificate, or a service that the bootstrap names.',
  },
} as const satisfies ErrorCodeTable;
