import type { LocalMesh } from './local-mesh.ts';
import type { Workload } from './workloads.ts';

export interface HttpRequest {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `status` 0: the connection broke before an answer; `error` says how. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly error?: string;
}

/** What the sample server says of a request that reached it. */
export interface SampleAnswer {
  readonly pod: string;
  readonly version: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly client: string;
}

/** The same request several times over, each on a connection of its own, from one process in the pod. */
export function ask(
  mesh: LocalMesh,
  from: Workload,
  request: HttpRequest,
  count = 1,
): Promise<readonly HttpAnswer[]> {
  return askAll(mesh, from, Array<HttpRequest>(count).fill(request));
}

/** One request after the other, each on a connection of its own, from one process in the pod. */
export async function askAll(
  mesh: LocalMesh,
  from: Workload,
  requests: readonly HttpRequest[],
): Promise<readonly HttpAnswer[]> {
  const script = `
    const { request } = require('node:http');
    const one = ({ url, method, headers }) => new Promise((done) => {
      const failed = (error) => done({ status: 0, headers: {}, body: '', error: String(error.code ?? error.message) });
      const r = request(url, { method, headers, agent: false, timeout: 5000 }, (s) => {
        let body = ''; s.setEncoding('utf8').on('data', (c) => (body += c)).on('end', () => done({ status: s.statusCode, headers: s.headers, body })).on('error', failed);
      });
      r.on('timeout', () => r.destroy(new Error('timeout'))); r.on('error', failed); r.end();
    });
    (async () => { const all = []; for (const r of ${JSON.stringify(requests)}) all.push(await one(r)); console.log(JSON.stringify(all)); })();`;
  const output = await mesh.exec(from.namespace, from.name, process.execPath, '-e', script);
  return JSON.parse(output) as HttpAnswer[]; // printed by the script above
}

export function sampleAnswer(answer: HttpAnswer): SampleAnswer {
  return JSON.parse(answer.body) as SampleAnswer; // the sample's program wrote it
}
