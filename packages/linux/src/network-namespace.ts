import { closeSync, fstatSync, openSync } from 'node:fs';
import { check, libc } from './libc.ts';

const CLONE_NEWNET = 0x4000_0000;
const OWN_NAMESPACE = '/proc/thread-self/ns/net';

export interface NetworkNamespace {
  /** -1 once closed: the number may be somebody else's descriptor by then. */
  readonly fd: number;
  /** `device:inode`: equal for two descriptors of one namespace. */
  readonly id: string;
  close(): void;
}

/** Opens `/var/run/netns/x`, `/proc/1/ns/net` and the like. */
export function openNetworkNamespace(path: string): NetworkNamespace {
  return adoptNetworkNamespace(openSync(path, 'r'));
}

/** Takes ownership of a descriptor, such as one received over a socket. */
export function adoptNetworkNamespace(fd: number): NetworkNamespace {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  let isOpen = true;
  return {
    get fd() {
      return isOpen ? fd : -1;
    },
    id: `${dev}:${ino}`,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      closeSync(fd);
    },
  };
}

/** Another descriptor of the same namespace, for work that may outlive its owner's. */
export function duplicateNetworkNamespace({ fd }: Pick<NetworkNamespace, 'fd'>): NetworkNamespace {
  return openNetworkNamespace(`/proc/self/fd/${fd}`);
}

/**
 * Runs `work` with this thread in another network namespace; sockets made meanwhile stay there. `work` must be
 * synchronous: what runs later runs in the old namespace. Aborts the process if the thread can't return, for
 * then every later socket would be opened in somebody else's pod. Without a descriptor, it is just called.
 */
export function inNetworkNamespace<T>(namespace: { readonly fd: number | undefined }, work: () => T): T {
  if (namespace.fd === undefined) return work();
  const outer = present;
  const back = present ?? home();
  check('setns', libc().setns(namespace.fd, CLONE_NEWNET));
  present = namespace.fd;
  try {
    return work();
  } finally {
    present = outer;
    returnTo(back);
  }
}

/** A new, empty network namespace that lives as long as its descriptor or a socket in it. */
export function createNetworkNamespace(): NetworkNamespace {
  const back = present ?? home();
  check('unshare', libc().unshare(CLONE_NEWNET));
  try {
    return openNetworkNamespace(OWN_NAMESPACE);
  } finally {
    returnTo(back);
  }
}

/** Where the thread is, by a descriptor, while it isn't at home. */
let present: number | undefined;
let homeFd: number | undefined;

/** The namespace that the thread was started in, opened once: each connection to a pod needs it. */
function home(): number {
  if (homeFd !== undefined) return homeFd;
  const fd = openSync(OWN_NAMESPACE, 'r');
  // Descriptors are the process's; a thread that ends has to give back its own.
  process.once('exit', () => closeSync(fd));
  return (homeFd = fd);
}

function returnTo(fd: number): void {
  if (libc().setns(fd, CLONE_NEWNET) !== 0) process.abort();
}
