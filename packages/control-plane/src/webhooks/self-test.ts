import { request } from 'node:https';

/** Where the API server finds a webhook (admissionregistration.k8s.io/v1 WebhookClientConfig). */
export interface WebhookClientConfig {
  readonly url?: string;
  readonly service?: {
    readonly name: string;
    readonly namespace: string;
    readonly path?: string;
    readonly port?: number;
  };
  readonly caBundle?: string;
}

const TIMEOUT_MS = 5_000;

/** Calls the webhook the way the API server will: through its Service, trusting the mesh's roots. Rejects unless it answers. */
export async function testWebhook(
  config: WebhookClientConfig,
  rootsPem: string,
  signal: AbortSignal,
): Promise<void> {
  const uid = 'self-test';
  const url = webhookUrl(config);
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      { method: 'POST', ca: rootsPem, agent: false, timeout: TIMEOUT_MS, signal },
      (response) => {
        let body = '';
        response.on('data', (chunk) => (body += String(chunk)));
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200 && body.includes(`"uid":"${uid}"`)) resolve();
          else reject(new Error(`${url.href} answered ${response.statusCode ?? 'nothing'}`));
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error(`${url.href} did not answer in ${TIMEOUT_MS} ms`)));
    call.on('error', reject);
    const kind = { group: 'security.istio.io', kind: 'SelfTest' };
    call.end(JSON.stringify({ request: { uid, kind, operation: 'CREATE' } }));
  });
}

function webhookUrl({ url, service }: WebhookClientConfig): URL {
  if (url !== undefined) return new URL(url);
  if (service === undefined) throw new Error('the webhook has neither url nor service');
  const { name, namespace, path = '/', port = 443 } = service;
  return new URL(path, `https://${name}.${namespace}.svc:${port}`);
}
