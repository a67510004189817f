import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { bytesOf, eventually, MeshSandbox, sleep } from './mesh-sandbox.ts';
import * as steps from './same-node-steps.ts';

/** Runs inside a Sandbox: one node, and all that pods of one node can do to each other. */

export interface StepRecord {
  readonly step: string;
  readonly seen: unknown;
  /** The proxy's lines about connections, without what differs between any two runs. */
  readonly log: readonly string[];
}

export interface Transcript {
  readonly records: readonly StepRecord[];
  /** Of a connection that was open, as both lists tell them. */
  readonly protocols: readonly string[];
}

/** A log that says nothing new for so long has said all. */
const SETTLE_MS = 60;
/** Refused handshakes are tried again, more or less often by when the client hears of it. */
const HANDSHAKE_FAILURES = /^istio_crl|WEFT(1201|1207|1608)/;
const NODE = 'node-1';

/** Does all of it with one proxy, and tells what every side saw. */
export async function transcript(engine: string, relay: boolean): Promise<Transcript> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-same-node-'));
  const crlPath = join(folder, 'crl.pem');
  writeFileSync(crlPath, '');
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  const root = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'root' }, keyPem });
  const mesh = await MeshSandbox.create();
  mesh.controlPlane.issueWith(root, root.rootsPem, 3_600_000);
  const env = {
    ZTUNNEL_ENGINE: engine,
    SAME_NODE_RELAY: String(relay),
    RUST_LOG: 'info,access=debug',
    AUTHZ_POLICY_INFO_LOGGING: 'true',
    UNSTABLE_ENABLE_SOCKS5: 'true',
    CRL_PATH: crlPath,
    // Longer than the interval at which bytes are reported, which is all that is known of a connection cut by it.
    CONNECTION_TERMINATION_DEADLINE: '3s',
  };
  const records: StepRecord[] = [];
  try {
    mesh.addNode(NODE, '10.0.1.254');
    for (const [pod, ip] of Object.entries(steps.ips)) mesh.addPod(pod, NODE, ip);
    mesh.startZtunnel(NODE, env);
    await mesh.untilReady(NODE);
    for (const pod of ['client', 'other', 'server']) await mesh.capture(pod, steps.description(pod));
    for (const pod of Object.keys(steps.ips)) mesh.serve(pod, 8080);
    for (const [name, vip] of Object.entries(steps.vips)) {
      mesh.controlPlane.setService({
        name,
        namespace: 'default',
        hostname: `${name}.default.svc.cluster.local`,
        addresses: vip === undefined ? [] : [{ network: '', address: bytesOf(vip) }],
        ports: [{ servicePort: 80, targetPort: 8080 }],
      });
    }
    await mesh.untilKnown(({ services }) => {
      const served = services.filter(({ endpoints }) => Object.keys(endpoints).length === 1);
      return served.length === Object.keys(steps.vips).length;
    });
    const world: steps.World = { mesh, node: NODE, env, root, crlPath, protocols: [] };
    for (const [step, act] of Object.entries(steps.all)) {
      const logAt = mesh.log(NODE).length;
      const seen = await act(world);
      const log = (): readonly string[] => linesOf(mesh.log(NODE).slice(logAt));
      await eventually(`the log of: ${step}`, async () => {
        const lines = log().length;
        await sleep(SETTLE_MS);
        return lines > 0 && lines === log().length && isComplete(log());
      });
      records.push({ step, seen: withoutChance(seen), log: log() });
      if (step === steps.LAST_COUNTED)
        records.push({ step: 'metrics', seen: await metricsOf(mesh), log: [] });
    }
    return { records, protocols: world.protocols };
  } finally {
    await mesh.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Every connection that was opened has its last line. */
function isComplete(lines: readonly string[]): boolean {
  const count = (text: string): number => lines.filter((line) => line.includes(text)).length;
  return count('connection opened') === count('connection complete');
}

/** Lines about connections and policies, in an order of their own, as two ends may be told of in either order. */
function linesOf(log: string): readonly string[] {
  const lines = log
    .split('\n')
    .map((line) => line.split('\t').slice(1).join(' '))
    .filter((line) => /^\w+ (access|rbac)/.test(line))
    .map((line) => withoutChance(line.replace(/ duration="\d+ms"/, '')) as string); // a text stays one
  const isRepeated = (line: string, i: number): boolean =>
    line.includes('connection failed') && lines.indexOf(line) < i;
  return lines.filter((line, i) => !isRepeated(line, i)).sort();
}

/** Without ports that the kernel chose, numbers of certificates, and how soon a closed connection was met. */
function withoutChance(value: unknown): unknown {
  const text = JSON.stringify(value)
    ?.replace(/:(3[2-9]|[4-6]\d)\d{3}\b/g, ':*')
    .replace(/serial number [0-9A-F]+/g, 'serial number *')
    .replace(/read: ECONNRESET, connection reset by peer|write: EPIPE, broken pipe/g, 'reset')
    .replace(/read ECONNRESET|write EPIPE/g, 'reset')
    .replace(/connection to ([\d.:]+): reset/g, '$1 closed the connection');
  return text === undefined ? undefined : JSON.parse(text);
}

/** All that is counted of connections. */
async function metricsOf(mesh: MeshSandbox): Promise<readonly string[]> {
  const { body } = await mesh.get(NODE, 15_020, '/metrics');
  return body
    .split('\n')
    .filter((line) => /^(istio_tcp|istio_crl|weft_errors)/.test(line))
    .map((line) => (HANDSHAKE_FAILURES.test(line) ? line.replace(/ \d+$/, ' *') : line))
    .sort();
}
