import { describe, expect, it } from '@jest/globals';
import { parseConfigDump } from './config-dump.ts';
import { connectionTable, workloadTable } from './tables.ts';

const dump = JSON.stringify({
  workloads: [
    { uid: 'b', name: 'b', namespace: 'shop', workloadIps: ['10.0.0.2'], protocol: 'HBONE', node: 'node-2' },
    { uid: 'a', name: 'a', namespace: 'shop', workloadIps: ['10.0.0.1'], protocol: 'TCP' },
  ],
  services: [],
  policies: [],
  certificates: [],
  workloadState: {
    a: {
      state: 'Up',
      info: { name: 'a', namespace: 'shop' },
      connections: {
        inbound: [],
        outbound: [
          {
            src: '10.0.0.1:4000',
            originalDst: '10.1.0.1:80',
            actualDst: '10.0.0.2:15008',
            protocol: 'HBONE',
          },
        ],
      },
    },
  },
});

describe('a saved /config_dump', () => {
  it.each(['# no JSON', 'null', '[]', '{"workloads":[]}'])('is refused by its name when it is %s', (text) => {
    expect(() => parseConfigDump(text, 'saved.json')).toThrow(/saved\.json is no ztunnel's \/config_dump/);
  });

  it('is shown as tables with names for addresses', () => {
    const parsed = parseConfigDump(dump, 'saved.json');
    expect(workloadTable(parsed.workloads)).toBe(
      'NAMESPACE   POD NAME   ADDRESS    NODE     WAYPOINT   PROTOCOL\n' +
        'shop        a          10.0.0.1            None       TCP\n' +
        'shop        b          10.0.0.2   node-2   None       HBONE\n',
    );
    expect(connectionTable(parsed, { raw: false })).toContain(
      'a.shop     Outbound    a.shop:4000   b.shop:15008   10.1.0.1:80     HBONE\n',
    );
    expect(connectionTable(parsed, { raw: true })).toContain('10.0.0.2:15008');
    expect(connectionTable(parsed, { raw: false, direction: 'inbound' })).not.toContain('HBONE');
  });
});
