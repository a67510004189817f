import type { ErrorCodeTable } from '../errors.ts';

/** WEFT22xx. */
export const waypointErrors = {} as const satisfies ErrorCodeTable;
