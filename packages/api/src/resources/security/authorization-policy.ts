import { defineResource, list, object, oneOf, required, string, type CustomResource } from '../model.ts';
import { istioStatus, oneSelection, selector, targetRef, targetRefs } from '../istio-parts.ts';

export const authorizationPolicy = defineResource({
  group: 'security.istio.io',
  kind: 'AuthorizationPolicy',
  plural: 'authorizationpolicies',
  shortNames: ['ap'],
  categories: ['istio-io', 'security-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Action', jsonPath: '.spec.action', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object(
      {
        action: oneOf(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']),
        provider: object({
          name: string(),
        }),
        rules: list(
          object({
            from: list(
              object({
                source: object(
                  {
                    ipBlocks: list(string()),
                    namespaces: list(string()),
                    notIpBlocks: list(string()),
                    notNamespaces: list(string()),
                    notPrincipals: list(string()),
                    notRemoteIpBlocks: list(string()),
                    notRequestPrincipals: list(string()),
                    notServiceAccounts: list(string({ maxLength: 320 }), { maxItems: 16 }),
                    notTrustDomains: list(string()),
                    principals: list(string()),
                    remoteIpBlocks: list(string()),
                    requestPrincipals: list(string()),
                    serviceAccounts: list(string({ maxLength: 320 }), { maxItems: 16 }),
                    trustDomains: list(string()),
                  },
                  {
                    rules: [
                      {
                        rule: '!((has(self.serviceAccounts) || has(self.notServiceAccounts)) && (has(self.principals) || has(self.notPrincipals) || has(self.namespaces) || has(self.notNamespaces)))',
                        message: 'serviceAccounts cannot be combined with principals or namespaces',
                      },
                    ],
                  },
                ),
              }),
              { maxItems: 512 },
            ),
            to: list(
              object({
                operation: object({
                  hosts: list(string()),
                  methods: list(string()),
                  notHosts: list(string()),
                  notMethods: list(string()),
                  notPaths: list(string()),
                  notPorts: list(string()),
                  paths: list(string()),
                  ports: list(string()),
                }),
              }),
            ),
            when: list(
              object({
                key: required(string()),
                notValues: list(string()),
                values: list(string()),
              }),
            ),
          }),
          { maxItems: 512 },
        ),
        selector: selector,
        targetRef: targetRef,
        targetRefs: targetRefs,
      },
      {
        rules: [
          oneSelection,
          {
            rule: `has(self.provider) ? has(self.action) && self.action == 'CUSTOM' : true`,
            message: 'provider is allowed with action CUSTOM only',
          },
        ],
      },
    ),
    status: istioStatus,
  }),
});

export type AuthorizationPolicy = CustomResource<typeof authorizationPolicy>;
