import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, readAll, sleep } from './mesh-sandbox.ts';
import { codeOf, ips, mesh, patient, whileOpen, type Ending } from './two-nodes.ts';

/** Steps of ztunnel.kernel.test.ts about proxies and pods that come and go. */

/** The proxy of the server's node is killed and started again. */
export async function killAndRestart(): Promise<{
  during: string;
  unready: string;
  after: string;
  fromOld: string;
}> {
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  const during = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  mesh.startZtunnel('node-2', patient);
  const { body } = await mesh.readiness('node-2');
  await mesh.untilReady('node-2');
  const after = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  return { during, unready: body, after, fromOld: await mesh.talk('server', ips.client, 8080).catch(codeOf) };
}

/** One data thread after the other of the server's node fails, while connections are open. */
export async function crashDataThreads(): Promise<{ lost: number; failed: string[]; ready: number }> {
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  const folder = mkdtempSync(join(tmpdir(), 'weft-crash-'));
  const file = join(folder, 'now');
  mesh.startZtunnel('node-2', {
    NODE_OPTIONS: `--import=${new URL('./crash-data-thread.js', import.meta.url).href}`,
    CRASH_DATA_THREAD: file,
  });
  await mesh.untilReady('node-2');
  const failed: string[] = [];
  const lost = (): number => mesh.log('node-2').slice(logAt).split('crashed on purpose').length - 1;
  const logAt = mesh.log('node-2').length;
  for (let crashes = 1; crashes <= 3; crashes++) {
    const open = mesh.dial('client', ips.server, 8080);
    await once(open, 'data');
    await sleep(1_100); // a thread that fails at its start would not be replaced
    const before = lost();
    writeFileSync(file, '');
    await eventually('a lost thread', async () => lost() > before);
    await eventually('the server again', async () =>
      (await mesh.talk('client', ips.server, 8080).catch(codeOf)).startsWith('server'),
    );
    for (let i = 0; i < 20; i++) {
      const answer = await mesh.talk('client', ips.server, 8080, `n${i}`).catch(codeOf);
      if (answer !== `server sees ${ips.client}\nn${i}`) failed.push(answer);
    }
    open.destroy();
  }
  const ready = (await mesh.readiness('node-2')).status;
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  rmSync(folder, { recursive: true });
  mesh.startZtunnel('node-2', patient);
  await mesh.untilReady('node-2');
  return { lost: lost(), failed, ready };
}

/** Del over ZDS while a connection is open; then the pod comes back. */
export async function removePod(): Promise<{ open: Ending; readded: string }> {
  const open = await whileOpen('client', 'server', () => mesh.release('server'));
  const pod = mesh.pods.get('server');
  if (pod === undefined) throw new Error('no server');
  await mesh.readd('server');
  return { open, readded: await mesh.talk('client', ips.server, 8080).catch(codeOf) };
}

interface Listed {
  readonly pod: string;
  readonly direction: string;
  readonly dst: string;
  readonly since: string;
}

/** `GET /connections` of a node. */
async function openOn(node: string): Promise<readonly Listed[]> {
  const { body } = await mesh.get(node, 15_000, '/connections');
  return (JSON.parse(body) as Listed[]).map(({ pod, direction, dst, since }) => ({
    pod,
    direction,
    dst,
    since,
  })); // our own shape
}

/** SIGTERM with an open connection that ends by itself, then one that doesn't. */
export async function drain(): Promise<{
  listed: { before: readonly Listed[]; during: readonly Listed[] };
  finishes: string;
  exit: string;
  tookMs: number;
  stubborn: string;
  stubbornExit: string;
}> {
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  const listedBefore = await openOn('node-2');
  const before = Date.now();
  const exited = mesh.stopZtunnel('node-2', 'SIGTERM');
  await sleep(500);
  const listed = { before: listedBefore, during: await openOn('node-2') };
  const answer = readAll(socket);
  socket.end('last words');
  const finishes = (await answer.catch(codeOf)).toString();
  const exit = await exited;
  const tookMs = Date.now() - before;
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '1s' });
  await mesh.untilReady('node-2');
  let stubbornExit = '';
  const { after: stubborn } = await whileOpen('client', 'server', async () => {
    stubbornExit = await mesh.stopZtunnel('node-2', 'SIGTERM');
  });
  mesh.startZtunnel('node-2', patient);
  await mesh.untilReady('node-2');
  return { listed, finishes, exit, tookMs, stubborn, stubbornExit };
}

/**
 * A second proxy takes over a node while the first drains: a connection of before ends regularly, and none that is
 * made meanwhile fails. The endpoints of the second are elsewhere, as its pod has a namespace of its own.
 */
export async function upgrade(): Promise<{ failed: string[]; old: string; exit: string }> {
  const first = mesh.ztunnel('node-2');
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  mesh.startZtunnel('node-2', patient, '10.0.2.253');
  await mesh.untilReady('node-2');
  const exited = mesh.stopZtunnel('node-2', 'SIGTERM', first);
  const failed: string[] = [];
  for (let i = 0; i < 40; i++) {
    const answer = await mesh.talk('client', ips.server, 8080, `n${i}`).catch(codeOf);
    if (answer !== `server sees ${ips.client}\nn${i}`) failed.push(answer);
  }
  const rest = readAll(socket);
  socket.end('old');
  return { failed, old: (await rest.catch(codeOf)).toString(), exit: await exited };
}

/** The control plane is gone: what runs goes on, a new proxy waits. */
export async function withoutControlPlane(): Promise<{ goesOn: string; unready: string }> {
  mesh.controlPlane.stop();
  await sleep(300);
  const goesOn = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  mesh.startZtunnel('node-2');
  await eventually('the readiness endpoint', async () => (await mesh.readiness('node-2')).status === 500);
  return { goesOn, unready: (await mesh.readiness('node-2')).body };
}
