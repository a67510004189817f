import type { User } from '../auth/user.ts';
import type { ApiObject, JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';

/** A write that is about to happen, for whoever may change or refuse it. */
export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly resource: Resource;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  /** Absent for DELETE. In CONNECT: the options object. */
  readonly object: ApiObject | undefined;
  readonly oldObject: ApiObject | undefined;
  readonly options: JsonObject;
  readonly dryRun: boolean;
  /** Texts for `Warning` headers are added here. */
  readonly warnings: string[];
}

/**
 * One step of admission. Throws an ApiError to refuse. `mutate` changes `request.object` in place; `validate` only
 * looks. Built-in steps run before webhooks in both phases.
 */
export interface AdmissionPlugin {
  mutate?(request: AdmissionRequest): void | Promise<void>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}

export class AdmissionChain {
  private readonly plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.plugins = plugins;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.plugins) await plugin.mutate?.(request);
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.plugins) await plugin.validate?.(request);
  }
}
