import type { ErrorCodeTable } from '../errors.ts';

/** WEFT17xx. */
export const cniErrors = {
  WEFT1701: {
    layer: 'cni',
    title: 'A pod to be redirected can not be started, because the node agent does not answer',
    next: 'See why the istio-cni-node pod of this node is not ready; the kubelet tries the pod again by itself.',
  },
  WEFT1702: {
    layer: 'cni',
    title: 'No ztunnel is connected to the node agent',
    next: 'See why the ztunnel pod of this node is not ready; pods are enrolled as soon as it connects.',
  },
  WEFT1703: {
    layer: 'cni',
    title: 'ztunnel refused or did not acknowledge a pod',
    next: 'Look for the pod in the log of the ztunnel of this node; the agent tries again by itself.',
  },
  WEFT1704: {
    layer: 'cni',
    title: 'The network namespace of a pod was not found on this node',
    next: 'Check that /proc and /var/run/netns of the host are mounted into the agent; restart the pod if it persists.',
  },
  WEFT1705: {
    layer: 'cni',
    title: 'A netfilter, route or ipset command failed',
    next: 'Run the command that the message quotes on the node; kernel modules or the tool itself may be missing.',
  },
  WEFT1706: {
    layer: 'cni',
    title: 'The CNI configuration or request is not valid',
    next: 'Compare the file in /etc/cni/net.d with the CNI specification; another tool may have written it.',
  },
  WEFT1707: {
    layer: 'cni',
    title: 'A peer broke the protocol of the ZDS socket',
    next: 'Check that the versions of ztunnel and of the node agent fit together.',
  },
  WEFT1708: {
    layer: 'cni',
    title: 'The agent can not enter the network namespace of the node',
    next: 'Set ambient.shareHostNetworkNamespace=true in the cni chart, or give the agent SYS_ADMIN and SYS_PTRACE.',
  },
  WEFT1709: {
    layer: 'cni',
    title: 'No netfilter back end works on this node',
    next: 'Install nft, or iptables-nft, or iptables-legacy in the image, and see that the kernel has its modules.',
  },
  WEFT1710: {
    layer: 'cni',
    title: 'A labelled pod is not captured',
    next: 'The condition weft.dev/Captured of the pod names the check that failed; the agent repairs it by itself.',
  },
  WEFT1711: {
    layer: 'cni',
    title: 'A CNI configuration of our own would not be the one that the runtime takes',
    next: 'Give it a name that sorts before the primary one (istioOwnedCNIConfigFileName), or let the agent chain itself.',
  },
  WEFT1712: {
    layer: 'cni',
    title: 'The container runtime broke the protocol of NRI, or is not there',
    next: 'Enable NRI in the configuration of the container runtime, and mount /var/run/nri of the node into the agent.',
  },
} as const satisfies ErrorCodeTable;
