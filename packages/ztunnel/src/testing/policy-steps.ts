import { istio } from '@weft/api/workload';
import { sleep } from './mesh-sandbox.ts';
import { codeOf, inWeb, ips, mesh, whileOpen, type Ending } from './two-nodes.ts';

/** Steps of ztunnel.kernel.test.ts about policies. */

const fromClient = { principals: [{ exact: 'cluster.local/ns/default/sa/client' }] };

function policyOf(
  name: string,
  more: istio.security.Authorization.$Properties,
): istio.security.Authorization.$Properties {
  return {
    name,
    namespace: 'default',
    scope: istio.security.Scope.WORKLOAD_SELECTOR,
    action: istio.security.Action.DENY,
    ...more,
  };
}

async function setPolicy(policy: istio.security.Authorization.$Properties): Promise<void> {
  mesh.controlPlane.setPolicy(policy);
  await mesh.untilKnown(({ policies }) => policies.some(({ name }) => name === policy.name));
}

async function removePolicy(name: string): Promise<void> {
  mesh.controlPlane.removePolicy(`default/${name}`);
  await mesh.untilKnown(({ policies }) => !policies.some((p) => p.name === name));
}

/** Sets which policies a captured pod lists. */
async function listPolicies(pod: keyof typeof ips, authorizationPolicies: readonly string[]): Promise<void> {
  const services = pod === 'server' ? inWeb : {};
  mesh.describe(pod, { authorizationPolicies: [...authorizationPolicies], services });
  await mesh.untilKnown(({ workloads }) =>
    workloads.some((w) => w.name === pod && w.authorizationPolicies.join() === authorizationPolicies.join()),
  );
}

/** A namespace-wide DENY for the client arrives while connections of two clients are open. */
export async function denyWhileOpen(): Promise<{
  denied: Ending;
  other: Ending;
  fresh: string;
  afterwards: string;
}> {
  const deny = policyOf('deny-client', {
    scope: istio.security.Scope.NAMESPACE,
    rules: [{ clauses: [{ matches: [fromClient] }] }],
  });
  let other: Ending | undefined;
  const denied = await whileOpen('client', 'server', async () => {
    other = await whileOpen('neighbour', 'server', () => setPolicy(deny));
  });
  const fresh = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await removePolicy('deny-client');
  const afterwards = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  if (other === undefined) throw new Error('not reached');
  return { denied, other, fresh, afterwards };
}

/** A workload starts to list a policy that exists already. */
export async function listedWhileOpen(): Promise<Ending> {
  await setPolicy(policyOf('selected', { rules: [{ clauses: [{ matches: [fromClient] }] }] }));
  const ending = await whileOpen('client', 'server', () => listPolicies('server', ['default/selected']));
  await listPolicies('server', []);
  await removePolicy('selected');
  return ending;
}

/** STRICT, as the control plane converts it. */
export async function strict(): Promise<{ plaintext: string; open: Ending; mtls: string }> {
  const noIdentity = { notPrincipals: [{ presence: {} }] };
  await setPolicy(policyOf('strict', { rules: [{ clauses: [{ matches: [noIdentity] }] }] }));
  const open = await whileOpen('outsider', 'server', () => listPolicies('server', ['default/strict']));
  const plaintext = await mesh.talk('outsider', ips.server, 8080).catch(codeOf);
  const mtls = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await listPolicies('server', []);
  await removePolicy('strict');
  return { plaintext, open, mtls };
}

/** A listed policy that arrives while a connection waits for it, and one that never comes. */
export async function unknownPolicy(): Promise<{
  arrives: string;
  never: string;
  waitedMs: number;
  open: Ending;
}> {
  await listPolicies('server', ['default/late']);
  const waiting = mesh.talk('client', ips.server, 8080).catch(codeOf);
  await sleep(500);
  await setPolicy(policyOf('late', { rules: [] }));
  const arrives = await waiting;
  const open = await whileOpen('client', 'server', async () => {
    await listPolicies('server', ['default/late', 'default/never']);
    await sleep(5_500);
  });
  const before = Date.now();
  const never = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  const waitedMs = Date.now() - before;
  await listPolicies('server', []);
  await removePolicy('late');
  return { arrives, never, waitedMs, open };
}
