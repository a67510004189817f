import { describe, expect, it } from '@jest/globals';
import { Environment } from '@weft/telemetry';
import { loadConfig } from './config.ts';

const required = { NODE_NAME: 'node-1', AMBIENT_ENABLEMENT_SELECTOR: '[{podSelector: {}}]' };
const load = (variables: Readonly<Record<string, string>>): ReturnType<typeof loadConfig> =>
  loadConfig(new Environment({ ...required, ...variables }));

describe('how the plugin is installed', () => {
  it.each([
    [
      {},
      {
        chained: true,
        confName: undefined,
        ownFile: 'auto',
        ownFileName: '02-istio-cni.conflist',
        groupRead: false,
      },
    ],
    [
      { CHAINED_CNI_PLUGIN: 'false', CNI_CONF_NAME: 'Z.conf' },
      { chained: false, confName: 'Z.conf' },
    ],
    [{ ISTIO_OWNED_CNI_CONFIG: '' }, { ownFile: 'auto' }],
    [{ ISTIO_OWNED_CNI_CONFIG: 'true' }, { ownFile: 'always' }],
    [{ ISTIO_OWNED_CNI_CONFIG: 'false' }, { ownFile: 'never' }],
    [{ ISTIO_OWNED_CNI_CONFIG_FILENAME: '01-a.conflist' }, { ownFileName: '01-a.conflist' }],
    [{ ISTIO_OWNED_CNI_CONF_FILENAME: '01-b.conflist' }, { ownFileName: '01-b.conflist' }],
    [{ CNI_CONF_GROUP_READ: 'true' }, { groupRead: true }],
  ])('by %j is %j', (variables, expected) => {
    expect(load(variables).cniConfig).toMatchObject(expected);
  });

  it('is not asked for by the name of something that is no list, or elsewhere', () => {
    for (const name of ['a.conf', '../a.conflist'])
      expect(() => load({ ISTIO_OWNED_CNI_CONFIG_FILENAME: name })).toThrow('expected NAME.conflist');
  });

  it('is into the folder that it is told, or not at all when there is NRI', () => {
    expect(load({ MOUNTED_CNI_NET_DIR: '/host/x' })).toMatchObject({
      cniConfDir: '/host/x',
      nriSocket: undefined,
    });
    expect(load({ WEFT_NRI_SOCKET: '/host/nri.sock' }).nriSocket).toBe('/host/nri.sock');
  });
});
