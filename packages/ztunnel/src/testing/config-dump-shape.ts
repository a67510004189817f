/** The part of /config_dump that scenarios look at. */
export interface ConfigDump {
  readonly workloads: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly workloadIps: readonly string[];
    readonly waypoint?: unknown;
    readonly networkGateway?: unknown;
    readonly authorizationPolicies: readonly string[];
  }[];
  readonly services: readonly {
    readonly name: string;
    readonly subjectAltNames: readonly string[];
    readonly waypoint?: unknown;
    readonly endpoints: Readonly<Record<string, unknown>>;
  }[];
  readonly policies: readonly { readonly name: string }[];
  readonly certificates: readonly {
    readonly identity: string;
    readonly state: string;
    readonly rootCerts: readonly { readonly pem: string }[];
  }[];
  readonly workloadState: Readonly<
    Record<
      string,
      {
        readonly state: string;
        readonly connections: Readonly<
          Record<'inbound' | 'outbound', readonly { readonly protocol: string }[]>
        >;
      }
    >
  >;
}
