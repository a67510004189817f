import { describe, expect, it } from '@jest/globals';
import type { Container, Pod } from './pod.ts';
import {
  credentialsPrefix,
  decideCredentials,
  parseCapabilities,
  parseIdMap,
  violatesNonRoot,
  type HostPrivileges,
} from './security.ts';

const everything = parseCapabilities('CapBnd:\t000001ffffffffff');
const root: HostPrivileges = {
  uids: parseIdMap('         0          0 4294967295'),
  gids: parseIdMap('         0          0 4294967295'),
  maySetGroups: true,
  capabilities: everything,
};
const rootless: HostPrivileges = {
  ...root,
  uids: parseIdMap('0 1000 1'),
  gids: parseIdMap('0 1000 1'),
  maySetGroups: false,
};
const pod: Pod = { metadata: { name: 'p', namespace: 'n', uid: 'u' }, spec: { containers: [] } };
const container = (securityContext: NonNullable<Container['securityContext']>): Container => ({
  name: 'c',
  securityContext,
});

describe('decideCredentials', () => {
  it('gives the usual capabilities to a container that asks for nothing', () => {
    const { capabilities, identity } = decideCredentials(pod, container({}), root);
    expect(identity).toBe('switch');
    expect(capabilities).toContain('net_bind_service');
    expect(capabilities).not.toContain('net_admin');
  });

  it('drops all, then adds', () => {
    const asked = container({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'CAP_SYS_ADMIN'] } });
    expect(decideCredentials(pod, asked, root).capabilities).toEqual(['net_admin', 'sys_admin']);
  });

  it('gives none that the kubelet lacks', () => {
    const poor = { ...root, capabilities: parseCapabilities('CapBnd:\t0000000000000000') };
    expect(decideCredentials(pod, container({ privileged: true }), poor).capabilities).toEqual([]);
  });

  it('switches to users that exist', () => {
    const credentials = decideCredentials(pod, container({ runAsUser: 1337, runAsGroup: 1337 }), root);
    expect(credentialsPrefix(credentials)).toEqual(
      expect.arrayContaining(['--reuid=1337', '--regid=1337', '--clear-groups']),
    );
  });

  it('nests a user namespace for a user that does not exist', () => {
    const credentials = decideCredentials(
      pod,
      container({ runAsUser: 1337, allowPrivilegeEscalation: false }),
      rootless,
    );
    expect(credentials).toMatchObject({ identity: 'nested', shortfall: undefined });
    expect(credentialsPrefix(credentials).join(' ')).toBe(
      'setpriv --no-new-privs -- unshare --user --map-user=1337 --map-group=0 --',
    );
  });

  it('keeps gid 0 for a root container whose group does not exist, and says so', () => {
    const asked = container({
      runAsUser: 0,
      runAsGroup: 1337,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    });
    const credentials = decideCredentials(pod, asked, rootless);
    expect(credentials).toMatchObject({ identity: 'keep', gid: 0, capabilities: ['net_admin'] });
    expect(credentials.shortfall).toContain('1337');
  });

  it('lets the container overrule the pod', () => {
    const withPod = { ...pod, spec: { ...pod.spec, securityContext: { runAsUser: 7, fsGroup: 9 } } };
    expect(decideCredentials(withPod, container({ runAsUser: 8 }), root)).toMatchObject({
      uid: 8,
      groups: [9],
    });
    expect(violatesNonRoot(withPod, container({ runAsNonRoot: true }))).toBe(false);
    expect(violatesNonRoot(pod, container({ runAsNonRoot: true }))).toBe(true);
  });
});
