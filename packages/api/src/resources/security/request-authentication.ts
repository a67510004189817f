import {
  defineResource,
  boolean,
  list,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import { istioStatus, oneSelection, selector, targetRef, targetRefs } from '../istio-parts.ts';

export const requestAuthentication = defineResource({
  group: 'security.istio.io',
  kind: 'RequestAuthentication',
  plural: 'requestauthentications',
  shortNames: ['ra'],
  categories: ['istio-io', 'security-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [],
  schema: object({
    spec: object(
      {
        jwtRules: list(
          object(
            {
              audiences: list(string({ minLength: 1 })),
              forwardOriginalToken: boolean(),
              fromCookies: list(string({ minLength: 1 })),
              fromHeaders: list(
                object({
                  name: required(string({ minLength: 1 })),
                  prefix: string(),
                }),
              ),
              fromParams: list(string({ minLength: 1 })),
              issuer: string({ minLength: 1 }),
              jwks: string(),
              jwks_uri: string({ minLength: 1, maxLength: 2048 }),
              jwksUri: string({ minLength: 1, maxLength: 2048 }),
              outputClaimToHeaders: list(
                object({
                  claim: required(string({ minLength: 1 })),
                  header: required(string({ minLength: 1, pattern: '^[-_A-Za-z0-9]+$' })),
                }),
              ),
              outputPayloadToHeader: string(),
              presence: oneOf(['OPTIONAL', 'REQUIRED']),
              spaceDelimitedClaims: list(string({ minLength: 1 }), { maxItems: 64 }),
              timeout: string(),
            },
            {
              rules: [
                {
                  rule: '(has(self.jwks) ? 1 : 0) + (has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) <= 1',
                  message: 'only one of jwks and jwksUri can be set',
                },
              ],
            },
          ),
          { maxItems: 4096 },
        ),
        selector: selector,
        targetRef: targetRef,
        targetRefs: targetRefs,
      },
      { rules: [oneSelection] },
    ),
    status: istioStatus,
  }),
});

export type RequestAuthentication = CustomResource<typeof requestAuthentication>;
