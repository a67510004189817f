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
  WEFT1010: {
    layer: 'kubernetes',
    title: 'The Kubernetes API server cannot be reached',
    next: 'Check that the server address in the message answers from here: kubectl cluster-info.',
  },
  WEFT1011: {
    layer: 'kubernetes',
    title: 'The Kubernetes API server refused a request',
    next: 'Read the reason in the message; it comes from the API server.',
  },
  WEFT1012: {
    layer: 'kubernetes',
    title: 'The Kubernetes API server did not authenticate or authorise a request',
    next: 'Check the account with kubectl auth can-i, and the RBAC rules of the chart.',
  },
  WEFT1013: {
    layer: 'kubernetes',
    title: 'The kubeconfig cannot be used',
    next: 'Correct the file, context or entry that the message names, or pass --kubeconfig and --context.',
  },
  WEFT1014: {
    layer: 'kubernetes',
    title: 'The process does not run in a Kubernetes pod',
    next: 'Pass a kubeconfig, or mount a service-account token into the pod.',
  },
  WEFT1015: {
    layer: 'kubernetes',
    title: 'The Kubernetes API server sent an answer that cannot be used',
    next: 'Check that the address is a Kubernetes API server and no proxy in between changes answers.',
  },
} as const satisfies ErrorCodeTable;
