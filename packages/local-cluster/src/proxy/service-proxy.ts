import {
  Reflector,
  resources,
  type EndpointSlice,
  type KubernetesClient,
  type Service,
} from '@weft/kubernetes';
import { describeError, type Logger } from '@weft/telemetry';
import { run } from '../cluster/commands.ts';
import { serviceRules, type ProxyNode } from './service-rules.ts';

/** Changes that come close together make one ruleset. */
export const SETTLE_MS = 25;
export const RETRY_MS = 1_000;

/** Keeps the nftables rules of the network namespace that it runs in like the cluster's Services. */
export class ServiceProxy {
  private readonly node: ProxyNode;
  private readonly logger: Logger;
  private readonly services: Reflector<Service>;
  private readonly slices: Reflector<EndpointSlice>;
  private timer: NodeJS.Timeout | undefined;
  private applied = '';
  private applying = false;

  constructor(o: { client: KubernetesClient; node: ProxyNode; logger: Logger; signal: AbortSignal }) {
    this.node = o.node;
    this.logger = o.logger;
    const { client, logger, signal } = o;
    const onChange = () => this.schedule(SETTLE_MS);
    const common = { client, logger, signal, onChange, onSynced: onChange };
    this.services = new Reflector<Service>({ ...common, type: resources.services });
    this.slices = new Reflector<EndpointSlice>({ ...common, type: resources.endpointSlices });
    signal.addEventListener('abort', () => clearTimeout(this.timer), { once: true });
  }

  private schedule(delayMs: number): void {
    // Rules from half the picture would cut Services off whose endpoints are merely not known yet.
    if (!this.services.synced || !this.slices.synced) return;
    this.timer ??= setTimeout(() => void this.apply(), delayMs);
  }

  private async apply(): Promise<void> {
    this.timer = undefined;
    if (this.applying) return this.schedule(SETTLE_MS);
    const rules = serviceRules([...this.services.list()], [...this.slices.list()], this.node);
    if (rules === this.applied) return;
    this.applying = true;
    try {
      await run('nft', ['-f', '-'], rules);
      this.applied = rules;
      this.logger.debug('rules replaced', { bytes: rules.length });
    } catch (error) {
      this.logger.warn('rules were not taken', { error: describeError(error) });
      this.timer ??= setTimeout(() => void this.apply(), RETRY_MS);
    } finally {
      this.applying = false;
    }
  }
}
