import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { captureOnNode } from '../kit/capture.ts';
import { eventually } from '../kit/eventually.ts';
import { workspace, type LocalMesh, type PodView } from '../kit/local-mesh.ts';
import { promise, type Narrator } from './narrator.ts';
import { waypointTour } from './waypoint-tour.ts';

/** The tour of `npm run demo`: plaintext, a label, mutual TLS, a policy on an open connection, a pod replaced. */
export async function tour(mesh: LocalMesh, narrator: Narrator, shop: string): Promise<void> {
  narrator.evidence(
    `${mesh.cluster.nodes.length} nodes are ready: ${mesh.cluster.nodes.join(', ')} (${mesh.cluster.userMapping})`,
  );

  narrator.heading('The mesh, from its Helm charts');
  await narrator.during('weft install', () => mesh.weft('install', '--set', 'base.gatewayAPICRDs=true'));
  const system = await mesh.pods('istio-system');
  narrator.evidence(`control plane, CNI agent and ztunnel run: ${system.length} pods in istio-system`);

  narrator.heading('An application that knows nothing of it');
  await narrator.during('deploying the shop', async () => {
    await mesh.apply(shop);
    await mesh.rollout('shop', 'deploy/catalog', 'deploy/frontend');
    await untilAnswered(mesh);
  });
  const [frontend] = await mesh.pods('shop', 'app=frontend');
  const catalog = await mesh.pods('shop', 'app=catalog');
  promise(frontend !== undefined, 'the front end runs');
  const remote = catalog.find((pod) => pod.spec.nodeName !== frontend.spec.nodeName);
  promise(remote !== undefined, 'a catalog pod runs on another node than the front end');
  const node = remote.spec.nodeName ?? '';
  const address = remote.status.podIP ?? '';
  const pair = [frontend.status.podIP ?? '', address] as const;

  const before = await narrator.during(`listening on the network card of ${node}`, () =>
    captureOnNode(mesh, node, pair, () => askDirectly(mesh, frontend, address)),
  );
  const requestLine = /GET \/books HTTP\/1\.1/.exec(before.text)?.[0];
  promise(requestLine !== undefined, 'without the mesh the request can be read on the wire');
  narrator.evidence(`on the wire of ${node}, readable for everybody: ${requestLine}`);

  narrator.heading('kubectl label namespace shop istio.io/dataplane-mode=ambient');
  await narrator.during('the running pods join the mesh', async () => {
    await mesh.kubectl('label', 'namespace', 'shop', 'istio.io/dataplane-mode=ambient');
    await mesh.untilRedirected('shop', true);
    await untilTunnelled(mesh, frontend);
  });
  const after = await narrator.during(`listening on the network card of ${node} again`, () =>
    captureOnNode(mesh, node, pair, () => askDirectly(mesh, frontend, address)),
  );
  promise(
    !after.text.includes('GET /books') && !after.text.includes('HTTP/1.1'),
    'in the mesh nothing can be read on the wire',
  );
  promise(
    after.ports.includes(15008) && !after.ports.includes(8080),
    `only port 15008 is used, seen: ${after.ports.join(', ')}`,
  );
  narrator.evidence(
    `same request, same pods, no restart: ${after.segments.length} packets, all of them TLS on port 15008`,
  );
  const identity = await seenIdentity(mesh, node, frontend);
  narrator.evidence(`the catalog's side saw, by certificate: ${identity}`);

  narrator.heading('A policy, while a connection is open');
  await policyOnOpenConnection(mesh, narrator, frontend);

  narrator.heading('A pod goes, another comes');
  await replacePod(mesh, narrator, remote);
  await waypointTour(mesh, narrator);
  narrator.evidence((await mesh.weft('check')).trim().split('\n').at(-1)?.replace(/^\S+ /, '') ?? '');
}

/** Two requests by the front end to one catalog pod, whatever the Service would choose. */
async function askDirectly(mesh: LocalMesh, frontend: PodView, address: string): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const script = `fetch('http://${address}:8080/books').then(r=>r.text()).then(console.log)`;
    const answer = await mesh.exec('shop', frontend.metadata.name, process.execPath, '-e', script);
    promise(answer.includes('"path":"/books"'), `the catalog answers: ${answer}`);
  }
}

async function untilAnswered(mesh: LocalMesh): Promise<void> {
  await eventually(30_000, async () => {
    const logs = await mesh.kubectl('logs', '-n', 'shop', 'deploy/frontend', '--tail=3');
    if (!logs.includes(' 200 ')) throw new Error(`the front end gets no answer: ${logs}`);
  });
}

/** The control plane tells the peers some moments after the pods were redirected. */
async function untilTunnelled(mesh: LocalMesh, frontend: PodView): Promise<void> {
  await eventually(20_000, async () => {
    const table = await mesh.weft(
      'ztunnel-config',
      'workload',
      `${frontend.metadata.name}.shop`,
      '--workload-namespace',
      'shop',
    );
    const rows = table.trim().split('\n').slice(1);
    if (rows.length < 3 || !rows.every((row) => row.endsWith('HBONE')))
      throw new Error(`not every pod is reached by HBONE:\n${table}`);
  });
}

/** From the access log of the server's ztunnel. */
async function seenIdentity(mesh: LocalMesh, node: string, frontend: PodView): Promise<string> {
  const ztunnels = await mesh.pods('istio-system', 'app=ztunnel');
  const name = ztunnels.find((pod) => pod.spec.nodeName === node)?.metadata.name ?? '';
  return eventually(15_000, async () => {
    const log = await mesh.kubectl('logs', '-n', 'istio-system', name, '--tail=400');
    const line = log
      .split('\n')
      .findLast(
        (l) => l.includes('direction="inbound"') && l.includes(`src.workload="${frontend.metadata.name}"`),
      );
    const identity = /src\.identity="([^"]+)"/.exec(line ?? '')?.[1];
    promise(
      identity === 'spiffe://cluster.local/ns/shop/sa/frontend',
      `the server's side knows who called: ${line}`,
    );
    return identity;
  });
}

async function policyOnOpenConnection(mesh: LocalMesh, narrator: Narrator, frontend: PodView): Promise<void> {
  const script = `const s=require('net').connect(9000,'catalog.shop');s.pipe(process.stdout);s.on('error',e=>console.log('cut '+e.code));s.on('close',()=>{console.log('closed');process.exit()})`;
  const child = mesh.execInBackground('shop', frontend.metadata.name, process.execPath, '-e', script);
  try {
    const lines: string[] = [];
    const closed = new Promise<number>((resolve) => child.once('exit', () => resolve(Date.now())));
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    await narrator.during('opening a connection that ticks', () =>
      eventually(20_000, () => {
        if (lines.length < 5) throw new Error(`no ticks: ${lines.join()}`);
      }),
    );
    const ticks = lines.length;
    await mesh.apply(await readFile(path.join(workspace, 'samples/deny-frontend.yaml'), 'utf8'));
    const applied = Date.now();
    const closedAt = await narrator.during('kubectl apply -f samples/deny-frontend.yaml', () =>
      Promise.race([
        closed,
        new Promise<number>((_, reject) =>
          setTimeout(() => reject(new Error('the open connection was not cut')), 15_000).unref(),
        ),
      ]),
    );
    narrator.evidence(
      `after ${ticks} ticks a DENY policy came, and ${Math.max(closedAt - applied, 0)} ms later the open connection was cut`,
    );
    const refused = await mesh.exec(
      'shop',
      frontend.metadata.name,
      process.execPath,
      '-e',
      `fetch('http://catalog.shop/').then(r=>console.log(r.status),e=>console.log('refused'))`,
    );
    promise(refused.trim() === 'refused', `a new connection is refused: ${refused}`);
    narrator.evidence('a new connection is refused as well; the catalog never saw it');
  } finally {
    child.kill();
    await mesh.kubectl('delete', 'authorizationpolicy', '-n', 'shop', 'deny-frontend', '--ignore-not-found');
  }
  // The policy leaves both nodes within moments of each other; both serve the front end.
  await narrator.during('without the policy', () =>
    eventually(20_000, async () => {
      const recent = (await mesh.kubectl('logs', '-n', 'shop', 'deploy/frontend', '--tail=4'))
        .trim()
        .split('\n');
      promise(
        recent.every((line) => line.includes(' 200 ')),
        'traffic flows again',
      );
    }),
  );
}

async function replacePod(mesh: LocalMesh, narrator: Narrator, pod: PodView): Promise<void> {
  const since = new Date().toISOString();
  await narrator.during(`kubectl delete pod ${pod.metadata.name}`, async () => {
    await mesh.kubectl('delete', 'pod', '-n', 'shop', pod.metadata.name, '--wait=false');
    await eventually(60_000, async () => {
      const pods = await mesh.pods('shop', 'app=catalog');
      const fresh = pods.filter((p) =>
        p.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
      );
      if (fresh.length < 2 || pods.some((p) => p.metadata.name === pod.metadata.name))
        throw new Error('no new catalog pod yet');
    });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  });
  const log = await mesh.kubectl('logs', '-n', 'shop', 'deploy/frontend', `--since-time=${since}`);
  // kubectl's --since-time knows whole seconds only; the lines begin with their own time.
  const lines = log
    .trim()
    .split('\n')
    .filter((line) => line.slice(0, since.length) >= since);
  const good = lines.filter((line) => line.includes(' 200 '));
  const bad = lines.filter((line) => !line.includes(' 200 '));
  promise(
    good.length > 0 && bad.length === 0,
    `every request was answered meanwhile, failed: ${bad.join('; ')}`,
  );
  narrator.evidence(
    `${good.length} requests meanwhile, all answered; the new pod was in the mesh before it started`,
  );
}
