import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from './testing/index.ts';

skipIf(Sandbox.unavailable, describe)('network namespaces', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = Sandbox.start(new URL('./testing/network.scenario.js', import.meta.url));
  });
  afterAll(() => sandbox.stop());

  it('runs work in another namespace and returns the thread, also into one around it and after an exception', async () => {
    expect(await sandbox.call('returnsHome')).toEqual({
      same: true,
      inside: true,
      outOfAnother: true,
      afterThrow: true,
    });
  });

  it('listens and connects in another namespace, invisibly to its own', async () => {
    expect(await sandbox.call('connectsThere')).toEqual({
      text: '::ffff:127.0.0.1',
      transparent: true,
      refusedHere: 'ENETUNREACH',
    });
  });

  it('connects from an address that is not its own', async () => {
    expect(await sandbox.call('spoofs')).toEqual({ spoofed: true, remote: '192.0.2.7' });
  });

  it('hands a port over to another listener without losing a connection', async () => {
    expect(await sandbox.call('handsOver')).toEqual({ queued: 8, during: 8, refused: 0 });
  });

  it('knows the address that connections come from, which is the own one for those to itself alone', async () => {
    expect(await sandbox.call('sourceAddresses')).toEqual({
      own: '10.9.0.1',
      own6: 'fd09::1',
      neighbour: '10.9.0.1',
      nowhere: null,
      marked: null,
    });
  });

  it('exchanges datagrams there, on IPv4 and IPv6', async () => {
    expect(await sandbox.call('exchangesDatagrams')).toEqual(['there and back', 'there and back']);
  });

  it('captures what goes over an interface, until it is closed', async () => {
    expect(await sandbox.call('capturesSegments')).toEqual({
      ports: true,
      text: expect.stringContaining('hello there'),
      afterClose: 0,
    });
  });

  it('finds the original destination of a redirected IPv4 connection on a dual-stack listener', async () => {
    expect(await sandbox.call('findsOriginalDestination', 4)).toBe('10.9.0.2 80');
  });

  it('finds the original destination of a redirected IPv6 connection', async () => {
    expect(await sandbox.call('findsOriginalDestination', 6)).toBe('2001:db8::2 80');
  });
});
