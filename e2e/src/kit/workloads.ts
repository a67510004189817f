import { eventually } from './eventually.ts';
import type { LocalMesh, PodView } from './local-mesh.ts';

/** How long the clients below wait for an answer. */
export const CLIENT_TIMEOUT_MS = 4_000;

/** A pod of the sample program: a server (HTTP 8080, ticks 9000) that requests can also be sent from. */
export interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  /** Beside those that every pod gets. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Deployed extends Workload {
  readonly ip: string;
}

/** Makes pods with a service account each, and a Service per namespace and name prefix `service`. */
export async function deploy(
  mesh: LocalMesh,
  namespace: string,
  labels: Readonly<Record<string, string>>,
  workloads: readonly Workload[],
): Promise<ReadonlyMap<string, Deployed>> {
  const objects: object[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'server', namespace },
      spec: {
        selector: { role: 'server' },
        ports: [
          { name: 'http', port: 80, targetPort: 8080 },
          { name: 'tcp', port: 9000 },
        ],
      },
    },
  ];
  for (const { name, node, labels: ownLabels } of workloads) {
    objects.push(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name,
          namespace,
          labels: { app: name, role: name.startsWith('server') ? 'server' : 'client', ...ownLabels },
        },
        spec: {
          nodeName: node,
          serviceAccountName: name,
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'app',
              image: 'weft/sample:0.1.0',
              args: ['server'],
              readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 },
            },
          ],
        },
      },
    );
  }
  await mesh.applyAll(objects);
  return deployed(mesh, namespace, workloads);
}

/** The pods with their addresses, once all are ready. */
export async function deployed(
  mesh: LocalMesh,
  namespace: string,
  workloads: readonly Workload[],
): Promise<ReadonlyMap<string, Deployed>> {
  return eventually(60_000, async () => {
    const pods = new Map((await mesh.pods(namespace)).map((pod) => [pod.metadata.name, pod]));
    return new Map(
      workloads.map((workload) => {
        const pod = pods.get(workload.name);
        if (pod === undefined || !isReady(pod))
          throw new Error(`pod ${namespace}/${workload.name} is not ready`);
        return [workload.name, { ...workload, ip: pod.status.podIP ?? '' }] as const;
      }),
    );
  });
}

export function isReady(pod: PodView): boolean {
  return pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

/** What the sample server says of a request. */
export interface Answer {
  readonly pod: string;
  readonly client: string;
}

/** One request on a connection of its own; `refused` when the connection is closed before an answer. */
export async function request(mesh: LocalMesh, from: Workload, url: string): Promise<Answer | 'refused'> {
  const answers = await requests(mesh, from, url, 1);
  return answers[0] ?? 'refused';
}

/** Several requests, each on its own connection, from one process in the pod. */
export async function requests(
  mesh: LocalMesh,
  from: Workload,
  url: string,
  count: number,
): Promise<readonly (Answer | 'refused')[]> {
  const script = `
    const { get } = require('node:http');
    const one = () => new Promise((done) => {
      const r = get(${JSON.stringify(url)}, { agent: false, timeout: ${CLIENT_TIMEOUT_MS} }, (s) => {
        let b = ''; s.setEncoding('utf8').on('data', (c) => (b += c)).on('end', () => done(JSON.parse(b))).on('error', () => done('refused'));
      });
      r.on('timeout', () => r.destroy()); r.on('error', () => done('refused'));
    });
    (async () => { const all = []; for (let i = 0; i < ${count}; i++) all.push(await one()); console.log(JSON.stringify(all)); })();`;
  const output = await mesh.exec(from.namespace, from.name, process.execPath, '-e', script);
  return JSON.parse(output) as (Answer | 'refused')[]; // printed by the script above
}

export interface TrafficCounts {
  /** Answered, and not with a server's error. */
  readonly good: number;
  /** When and how each of the others ended. */
  readonly bad: readonly string[];
  /** How many answers had each status. */
  readonly statuses: Readonly<Record<string, number>>;
}

/** Requests without a pause until it is stopped; counts what came back. */
export class Traffic {
  private readonly child: ReturnType<LocalMesh['execInBackground']>;
  private output = '';
  private readonly ended: Promise<void>;

  constructor(mesh: LocalMesh, from: Workload, url: string, o: { readonly method?: string } = {}) {
    const options = { method: o.method ?? 'GET', agent: false, timeout: CLIENT_TIMEOUT_MS };
    const script = `
      const { request } = require('node:http');
      let good = 0; const bad = [], statuses = {};
      const failed = (how) => bad.push(new Date().toISOString() + ' ' + how);
      const one = () => {
        const r = request(${JSON.stringify(url)}, ${JSON.stringify(options)}, (s) => {
          s.resume().on('end', () => { statuses[s.statusCode] = (statuses[s.statusCode] ?? 0) + 1; if (s.statusCode < 500) good++; else failed(s.statusCode); }).on('error', (e) => failed(e.code));
        });
        r.on('timeout', () => r.destroy(new Error('timeout'))); r.on('error', (e) => failed(e.code ?? e.message)); r.end();
      };
      setInterval(one, 50);
      setInterval(() => console.log(JSON.stringify({ good, bad, statuses })), 200);`;
    this.child = mesh.execInBackground(from.namespace, from.name, process.execPath, '-e', script);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output = (this.output + text).slice(-65_536);
    });
    this.ended = new Promise((resolve) => this.child.once('close', () => resolve()));
  }

  get counts(): TrafficCounts {
    const lines = this.output.split('\n').filter((line) => line.endsWith('}'));
    return JSON.parse(lines.at(-1) ?? '{"good":0,"bad":[],"statuses":{}}') as TrafficCounts; // printed by the script above
  }

  /** Resolves once it was answered a few more times. */
  async untilAnswered(timeoutMs = 10_000): Promise<void> {
    const { good } = this.counts;
    await eventually(timeoutMs, () => {
      if (this.counts.good < good + 5) throw new Error('no traffic');
    });
  }

  /** Waits for some more good answers, then ends. */
  async stop(): Promise<TrafficCounts> {
    const { good } = this.counts;
    await eventually(10_000, () => {
      if (this.counts.good < good + 5 && this.counts.bad.length === 0) throw new Error('no traffic');
    });
    const counts = this.counts;
    this.child.kill();
    await this.ended;
    return counts;
  }
}

/** An open connection on which the server ticks. */
export class OpenConnection {
  readonly closed: Promise<number>;
  private readonly child: ReturnType<LocalMesh['execInBackground']>;
  private lines = 0;
  private isOpen = true;

  constructor(mesh: LocalMesh, from: Workload, host: string, port = 9000) {
    const script = `const s=require('net').connect(${port},${JSON.stringify(host)});s.pipe(process.stdout);s.on('error',()=>{});s.on('close',()=>process.exit())`;
    this.child = mesh.execInBackground(from.namespace, from.name, process.execPath, '-e', script);
    this.child.stdout
      ?.setEncoding('utf8')
      .on('data', (text: string) => (this.lines += text.split('tick').length - 1));
    this.closed = new Promise((resolve) =>
      this.child.once('close', () => {
        this.isOpen = false;
        resolve(Date.now());
      }),
    );
  }

  async untilTicking(): Promise<void> {
    const before = this.lines;
    await eventually(20_000, () => {
      if (!this.isOpen) throw new Error('the connection is closed');
      if (this.lines < before + 2) throw new Error('no ticks');
    });
  }

  get open(): boolean {
    return this.isOpen;
  }

  stop(): void {
    this.child.kill();
  }
}
