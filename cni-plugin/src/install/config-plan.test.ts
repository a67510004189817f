import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  planConfig,
  planRemoval,
  type ConfigFile,
  type ConfigPlan,
  type ConfigSettings,
} from './config-plan.ts';
import { serialize } from './conflist.ts';

const plugin = { type: 'istio-cni', name: 'istio-cni' };
const list = (...types: readonly string[]): string =>
  serialize({
    cniVersion: '1.0.0',
    name: 'net',
    disableCheck: true,
    plugins: types.map((type) => (type === 'istio-cni' ? plugin : { type, mtu: 1500 })),
  });
const settings: ConfigSettings = {
  plugin,
  chained: true,
  confName: undefined,
  ownFile: 'auto',
  ownFileName: '02-istio-cni.conflist',
};
const folder = (files: Readonly<Record<string, string>>): readonly ConfigFile[] =>
  Object.keys(files)
    .sort()
    .map((name) => ({ name, text: files[name] ?? '' }));

/** The folder after the plan. */
function carryOut(files: readonly ConfigFile[], plan: ConfigPlan): Readonly<Record<string, string>> {
  const after = new Map(files.map(({ name, text }) => [name, text]));
  if (plan.kind === 'apply') {
    for (const { name, text } of plan.writes) after.set(name, text);
    for (const name of plan.removes) after.delete(name);
  }
  return Object.fromEntries(after);
}

interface Case {
  readonly what: string;
  readonly settings?: Partial<ConfigSettings>;
  readonly contested?: boolean;
  readonly before: Readonly<Record<string, string>>;
  readonly after: Readonly<Record<string, string>>;
}
const cases: readonly Case[] = [
  {
    what: 'becomes the last plugin of the lexically first valid list',
    before: {
      '05-x.conflist': '{"plugins": []}',
      '10-a.conflist': list('bridge'),
      '20-b.conflist': list('ptp'),
    },
    after: {
      '05-x.conflist': '{"plugins": []}',
      '10-a.conflist': list('bridge', 'istio-cni'),
      '20-b.conflist': list('ptp'),
    },
  },
  {
    what: 'replaces an older entry of its own',
    before: { '10-a.conflist': list('istio-cni', 'bridge') },
    after: { '10-a.conflist': list('bridge', 'istio-cni') },
  },
  {
    what: 'moves to a list that now comes first',
    before: { '05-new.conflist': list('ptp'), '10-a.conflist': list('bridge', 'istio-cni') },
    after: { '05-new.conflist': list('ptp', 'istio-cni'), '10-a.conflist': list('bridge') },
  },
  {
    what: 'chains into the file that it is told to, also under the name that this had as a single configuration',
    settings: { confName: '20-b.conf' },
    before: { '10-a.conflist': list('bridge'), '20-b.conflist': list('ptp') },
    after: { '10-a.conflist': list('bridge'), '20-b.conflist': list('ptp', 'istio-cni') },
  },
  {
    what: 'gives a list of its own precedence over one that its owner rewrites',
    before: { '05-cilium.conflist': list('cilium-cni') },
    after: {
      '02-istio-cni.conflist': list('cilium-cni', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni'),
    },
  },
  {
    what: 'leaves such a list when it has one of its own',
    before: { '05-cilium.conflist': list('cilium-cni', 'istio-cni') },
    after: {
      '02-istio-cni.conflist': list('cilium-cni', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni'),
    },
  },
  {
    what: 'follows the primary list with its own',
    before: {
      '02-istio-cni.conflist': list('cilium-cni', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni', 'portmap'),
    },
    after: {
      '02-istio-cni.conflist': list('cilium-cni', 'portmap', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni', 'portmap'),
    },
  },
  {
    what: 'has a list of its own when somebody fights over the other, whoever that is',
    contested: true,
    before: { '10-a.conflist': list('bridge') },
    after: { '02-istio-cni.conflist': list('bridge', 'istio-cni'), '10-a.conflist': list('bridge') },
  },
  {
    what: 'keeps the list that an earlier agent made for that reason',
    before: { '02-istio-cni.conflist': list('bridge', 'istio-cni'), '10-a.conflist': list('bridge') },
    after: { '02-istio-cni.conflist': list('bridge', 'istio-cni'), '10-a.conflist': list('bridge') },
  },
  {
    what: 'has a list of its own when told to',
    settings: { ownFile: 'always', ownFileName: '00-mine.conflist' },
    before: { '10-a.conflist': list('bridge') },
    after: { '00-mine.conflist': list('bridge', 'istio-cni'), '10-a.conflist': list('bridge') },
  },
  {
    what: 'gives its own list up when told to',
    settings: { ownFile: 'never' },
    before: {
      '02-istio-cni.conflist': list('cilium-cni', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni'),
    },
    after: { '05-cilium.conflist': list('cilium-cni', 'istio-cni') },
  },
  {
    what: 'chains itself where its own list would come second',
    before: { '00-multus.conflist': list('multus', 'cilium-cni') },
    after: { '00-multus.conflist': list('multus', 'cilium-cni', 'istio-cni') },
  },
  {
    what: 'keeps its own list while the primary one is away, so that no pod starts without the plugin',
    before: { '02-istio-cni.conflist': list('cilium-cni', 'istio-cni') },
    after: { '02-istio-cni.conflist': list('cilium-cni', 'istio-cni') },
  },
  {
    what: 'stands alone where others refer to it, and leaves every chain',
    settings: { chained: false },
    before: { '10-a.conflist': list('bridge', 'istio-cni') },
    after: {
      '10-a.conflist': list('bridge'),
      'YYY-istio-cni.conf': serialize({ cniVersion: '0.3.1', ...plugin }),
    },
  },
  {
    what: 'stands alone under the name that it is told',
    settings: { chained: false, confName: 'ZZZ-mesh.conf' },
    before: {},
    after: { 'ZZZ-mesh.conf': serialize({ cniVersion: '0.3.1', ...plugin }) },
  },
  {
    what: 'waits while there is nothing to chain into',
    before: { '05-x.conflist': '{' },
    after: { '05-x.conflist': '{' },
  },
];

describe('the CNI configuration', () => {
  it.each(cases)('$what', ({ settings: own, contested = false, before, after }) => {
    const all = { ...settings, ...own };
    const files = folder(before);
    expect(carryOut(files, planConfig(all, files, contested))).toEqual(after);
    // Once right, it stays.
    const again = planConfig(all, folder(after), contested);
    expect(again.kind === 'wait' ? [] : [...again.writes, ...again.removes]).toEqual([]);
  });

  it('becomes a list when it was a single configuration', () => {
    const single = JSON.stringify({ cniVersion: '0.4.0', name: 'net', type: 'bridge' });
    const files = folder({ '10-a.conf': single, '20-b.json': '{"type":"ptp"}' });
    expect(carryOut(files, planConfig(settings, files, false))).toEqual({
      '10-a.conflist': serialize({
        name: 'net',
        cniVersion: '0.4.0',
        plugins: [{ cniVersion: '0.4.0', name: 'net', type: 'bridge' } as never, plugin],
      }),
      '20-b.json': '{"type":"ptp"}',
    });
  });

  it('is refused when a list of our own, asked for, would not be taken', () => {
    const files = folder({ '00-first.conflist': list('bridge') });
    expect(() => planConfig({ ...settings, ownFile: 'always' }, files, false)).toThrow(
      expect.objectContaining({ code: 'WEFT1711' }),
    );
  });

  it('is left without a trace of ours', () => {
    const files = folder({
      '02-istio-cni.conflist': list('cilium-cni', 'istio-cni'),
      '05-cilium.conflist': list('cilium-cni', 'istio-cni'),
      'YYY-istio-cni.conf': serialize({ cniVersion: '0.3.1', ...plugin }),
      'broken.conf': '{',
    });
    const after = carryOut(files, {
      kind: 'apply',
      place: 'chained',
      ...planRemoval(files, settings.ownFileName),
    });
    expect(after).toEqual({ '05-cilium.conflist': list('cilium-cni'), 'broken.conf': '{' });
  });

  it('that the runtime takes always ends with the plugin, in no other list, and settles at once', () => {
    const types = fc.array(fc.constantFrom('bridge', 'cilium-cni', 'istio-cni', 'portmap'), {
      minLength: 1,
      maxLength: 4,
    });
    const names = fc.constantFrom('00-a.conflist', '02-istio-cni.conflist', '10-b.conflist', '20-c.conflist');
    const texts = types.map((t) => list(...t));
    fc.assert(
      fc.property(
        fc.dictionary(names, texts),
        fc.constantFrom('auto', 'never'),
        fc.boolean(),
        (before, ownFile, contested) => {
          const files = folder(before);
          const all = { ...settings, ownFile } as const;
          const plan = planConfig(all, files, contested);
          if (plan.kind === 'wait') return;
          const after = carryOut(files, plan);
          const [first = '', ...rest] = Object.keys(after).sort();
          expect(after[first]).toMatch(/"type": "istio-cni",\s+"name": "istio-cni"\s+}\s+\]\s+}\n$/);
          for (const name of rest) expect(after[name]).not.toContain('"istio-cni"');
          expect(planConfig(all, folder(after), contested)).toMatchObject({ writes: [], removes: [] });
        },
      ),
    );
  });
});
