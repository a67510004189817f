import type { ErrorCodeTable } from '../errors.ts';

/** WEFT20xx. */
export const localClusterErrors = {
  WEFT2001: {
    layer: 'local-cluster',
    title: 'A program that the local cluster needs is not installed',
    next: 'Install the packages that the message names.',
  },
  WEFT2002: {
    layer: 'local-cluster',
    title: 'The kernel does not let this user make the namespaces of a cluster',
    next: 'Follow the message: it names the setting that forbids it; or run as root.',
  },
  WEFT2003: {
    layer: 'local-cluster',
    title: 'A local cluster of this name is already running',
    next: 'Use it, or stop it first with `weft local down`.',
  },
  WEFT2004: {
    layer: 'local-cluster',
    title: 'A command that builds the cluster failed',
    next: 'Read what the command said; the logs are in the state directory under logs/.',
  },
  WEFT2005: {
    layer: 'local-cluster',
    title: 'The local cluster did not come up',
    next: 'Read the log that the message names.',
  },
  WEFT2006: {
    layer: 'local-cluster',
    title: 'A file of the state directory is damaged',
    next: 'Remove the cluster with `weft local down` and start it again.',
  },
  WEFT2007: {
    layer: 'local-cluster',
    title: 'The port asked for can not be had',
    next: 'Choose another port, or none: then a free one is taken.',
  },
  WEFT2008: {
    layer: 'local-cluster',
    title: 'The local cluster did not stop',
    next: 'End the process that the message names.',
  },
  WEFT2009: {
    layer: 'local-cluster',
    title: 'There is no such local cluster to be made',
    next: 'Correct the name or the number of nodes, as the message says.',
  },
  WEFT2020: {
    layer: 'kube-apiserver',
    title: "The local cluster's state file is damaged",
    next: 'Restore the file that the message names, or remove the cluster with `weft local down` and start it again.',
  },
  WEFT2021: {
    layer: 'kube-apiserver',
    title: "The local cluster's state cannot be written",
    next: 'Free space on, or regain write access to, the disk that holds the state directory.',
  },
  WEFT2022: {
    layer: 'kube-apiserver',
    title: "The configuration of the local cluster's API server is not usable",
    next: 'Correct the field that the message names; `weft local down` and `up` write the file anew.',
  },
  WEFT2060: {
    layer: 'kubelet',
    title: 'The kubelet configuration is not usable',
    next: 'Correct the field that the message names; `weft local down` and `up` write the file anew.',
  },
  WEFT2061: {
    layer: 'kubelet',
    title: 'The image table is not usable',
    next: 'Correct the entry that the message names in the file given to `weft local up --images`.',
  },
  WEFT2062: {
    layer: 'kubelet',
    title: 'No local command is known for this image',
    next: 'Add a pattern for it to the file given to `weft local up --images`, or use the image localhost/host.',
  },
  WEFT2063: {
    layer: 'kubelet',
    title: 'The pod sandbox could not be made',
    next: 'Read the message: it names the mount, namespace or CNI step that failed; the kubelet tries again.',
  },
  WEFT2064: {
    layer: 'kubelet',
    title: 'The container could not be started',
    next: 'Correct the part of the pod that the message names.',
  },
  WEFT2065: {
    layer: 'kubelet',
    title: 'A volume could not be set up',
    next: 'Create the object or path that the message names; the kubelet tries again.',
  },
  WEFT2066: {
    layer: 'kubelet',
    title: 'The CNI configuration is not usable',
    next: 'Correct the file in /etc/cni/net.d that the message names.',
  },
  WEFT2067: {
    layer: 'kubelet',
    title: 'A CNI plugin failed',
    next: 'Read the message of the plugin; the kubelet calls it again.',
  },
} as const satisfies ErrorCodeTable;
