import type { Endpoints } from '../config/endpoints.ts';

/** Who learns of a cluster's hosts. */
export interface EndpointSink {
  update(endpoints: Endpoints): void;
  /** The first answer came, or won't: the cluster may serve. */
  settled(): void;
  failed(error: unknown): void;
}

/** A source of hosts, from its start until `close`. */
export interface Discovery {
  close(): void;
}
