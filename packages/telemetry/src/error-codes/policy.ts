import type { ErrorCodeTable } from '../errors.ts';

/** WEFT14xx. */
export const policyErrors = {
  WEFT1401: {
    layer: 'policy',
    title: 'An authorization policy from the control plane cannot be enforced as written',
    next: 'Correct the field that the message names; the last good version stays in force.',
  },
  WEFT1402: {
    layer: 'policy',
    title: 'A connection was denied by a DENY policy',
    next: 'The message names the policy; change it if the connection should be allowed.',
  },
  WEFT1403: {
    layer: 'policy',
    title: 'A connection was denied because no ALLOW policy matches it',
    next: 'Add a rule for the source to one of the ALLOW policies, which the log line names; behind a waypoint the source is the waypoint.',
  },
  WEFT1404: {
    layer: 'policy',
    title: 'A connection was denied because a policy of the destination is not known yet',
    next: 'See whether the control plane is reachable; the message names the policy that it has not sent.',
  },
  WEFT1405: {
    layer: 'policy',
    title: 'An open connection was cut because a policy now denies it',
    next: 'The message names the policy; change it if the connection should be allowed.',
  },
  WEFT1406: {
    layer: 'policy',
    title: 'A connection was denied because it did not come through the waypoint that its service requires',
    next: 'Address the service by its name from a pod in the mesh; weft.dev/require-waypoint=false on the Service lets other traffic in.',
  },
  WEFT1407: {
    layer: 'policy',
    title: 'A condition of an authorization policy makes no sense and is left out',
    next: 'Correct the field that the message names; a match without any other condition never matches.',
  },
} as const satisfies ErrorCodeTable;
