import type { ErrorCodeTable } from '../errors.ts';

/** WEFT18xx. */
export const controlPlaneErrors = {
  WEFT1801: {
    layer: 'certificate authority',
    title: 'The plugged-in certificate authority is incomplete or cannot be used',
    next: 'Put ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem that belong together into the Secret cacerts.',
  },
  WEFT1802: {
    layer: 'certificate authority',
    title: 'The Secret with the self-signed certificate authority cannot be used',
    next: 'Repair the Secret istio-ca-secret; if it is deleted, a new root is made and every workload must be restarted.',
  },
  WEFT1803: {
    layer: 'certificate authority',
    title: 'A certificate request came from a caller who could not be authenticated',
    next: 'Check that the caller mounts a service account token of audience istio-ca and that this pod may create TokenReviews.',
  },
  WEFT1804: {
    layer: 'certificate authority',
    title: 'A caller asked for a certificate of an identity that it may not have',
    next: 'Check that the caller is listed in CA_TRUSTED_NODE_ACCOUNTS and that a pod of that identity runs on its node.',
  },
  WEFT1805: {
    layer: 'certificate authority',
    title: 'A certificate signing request was refused',
    next: 'Look at the cause: the request is malformed, its signature is wrong, or it asks for too long a lifetime.',
  },
  WEFT1806: {
    layer: 'certificate authority',
    title: 'The root certificate could not be written to a namespace',
    next: 'Check that istiod may create and patch ConfigMaps; the write is tried again.',
  },
  WEFT1807: {
    layer: 'certificate authority',
    title: 'A certificate request could not be checked, because the Kubernetes API does not answer',
    next: 'Restore the API server; proxies keep their certificates and ask again.',
  },
  WEFT1808: {
    layer: 'certificate authority',
    title: 'A caller asks for certificates faster than it may',
    next: 'Find the caller by the log; proxies try again by themselves.',
  },
  WEFT1809: {
    layer: 'certificate authority',
    title: 'The record of a rotation of roots cannot be understood',
    next: 'Delete the Secret weft-ca-rotation if no rotation is under way; otherwise restore what was edited.',
  },
  WEFT1810: {
    layer: 'policy',
    title: 'A policy object was refused because of what it says',
    next: 'Correct the field that the message names.',
  },
  WEFT1811: {
    layer: 'webhook',
    title: 'An admission request could not be understood',
    next: 'Check that the webhook configuration sends AdmissionReview v1 of the kinds that the mesh validates.',
  },
  WEFT1812: {
    layer: 'webhook',
    title: 'The webhook configuration could not be completed',
    next: 'Check that istiod may patch validatingwebhookconfigurations and is reachable by its Service; until then a failing webhook is ignored.',
  },
  WEFT1814: {
    layer: 'control plane',
    title: 'The control plane was stopped before it was ready',
    next: 'Nothing is wrong if you stopped it; otherwise look for the first error above.',
  },
  WEFT1815: {
    layer: 'control plane',
    title: 'The Kubernetes API does not answer; proxies are served what was known before',
    next: 'Restore the API server, or the way from istiod to it; nothing else is needed.',
  },
  WEFT1820: {
    layer: 'xds',
    title: 'A proxy could not be authenticated',
    next: 'Check that the proxy mounts a service account token of audience istio-ca and that this pod may create TokenReviews.',
  },
  WEFT1821: {
    layer: 'xds',
    title: 'A proxy claims to be somebody else than it is authenticated as',
    next: 'Set POD_NAMESPACE and SERVICE_ACCOUNT of the proxy by the downward API.',
  },
  WEFT1822: {
    layer: 'xds',
    title: 'Something that is not a proxy connected to the xDS port',
    next: 'Find the client by the address in the debug log; nothing else follows from it.',
  },
  WEFT1830: {
    layer: 'config',
    title: 'Derived configuration could not be computed; the last good one stays in force',
    next: 'Correct the object that the message names; for meshSettings that is the ConfigMap istio.',
  },
  WEFT1831: {
    layer: 'gateway',
    title: 'An object of a waypoint could not be applied',
    next: 'Read the cause: an object of the same name may not be ours, or istiod may not write it. It is tried again.',
  },
  WEFT1832: {
    layer: 'gateway',
    title: 'The GatewayClass of waypoints could not be created',
    next: 'Check that the Gateway API CRDs are installed (chart base) and that istiod may create gatewayclasses.',
  },
  WEFT1833: {
    layer: 'config',
    title: 'A field of the mesh configuration has no effect',
    next: 'Remove the field from the ConfigMap istio, or correct its name; docs/compatibility.md says which fields count.',
  },
  WEFT1850: {
    layer: 'jwt',
    title:
      'The keys of a token issuer could not be fetched; tokens are refused, or checked by the keys fetched before',
    next: 'Check that istiod reaches the jwksUri of the RequestAuthentication; it is tried again.',
  },
  WEFT1840: {
    layer: 'status',
    title: 'A status condition could not be written',
    next: 'Check that istiod may patch the status of the named kind; the write is tried again.',
  },
} as const satisfies ErrorCodeTable;
