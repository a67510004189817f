import { Path, Port, ROOT_CERT_CONFIGMAP, TOKEN_AUDIENCE } from '@weft/api';
import type { PodController } from '@weft/kubernetes';
import type { ProxyDefaults } from '../ambient/proxy-defaults.ts';
import type { GatewayFacts } from '../sources/gateway-objects.ts';

/** What every waypoint of a mesh has in common. */
export interface WaypointTemplate {
  readonly image: string;
  readonly systemNamespace: string;
  readonly revision: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly network: string;
  readonly trustDomain: string;
  readonly proxies: ProxyDefaults;
}

const PROXY_USER = 1337;
const TOKEN_LIFETIME_SECONDS = 43_200;
const READINESS_PATH = '/healthz/ready';
const ENVOY_STATS_PORT = 15_090;
const GRACE_PERIOD_SECONDS = 30;
/** Before the drain a waypoint serves on for a while, and after it, it closes. */
const AROUND_DRAIN_SECONDS = 10;

/** The pod that runs a waypoint: like one of Istio's proxy image, which reads the same environment, ports and files. */
export function waypointPodSpec(
  gateway: GatewayFacts,
  { name, account }: { readonly name: string; readonly account: string },
  template: WaypointTemplate,
): NonNullable<NonNullable<PodController['spec']>['template']['spec']> {
  const { systemNamespace, revision, clusterDomain, proxies } = template;
  const suffix = revision === '' || revision === 'default' ? '' : `-${revision}`;
  const controlPlane = `istiod${suffix}.${systemNamespace}.svc:${Port.xds}`;
  const field = (variable: string, fieldPath: string) => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const owner = `kubernetes://apis/apps/v1/namespaces/${gateway.namespace}/deployments/${name}`;
  return {
    serviceAccountName: account,
    terminationGracePeriodSeconds: gracePeriodSeconds(proxies),
    securityContext: { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] },
    containers: [
      {
        name: 'istio-proxy',
        image: template.image,
        args: [
          'proxy',
          'waypoint',
          '--domain',
          `$(POD_NAMESPACE).svc.${clusterDomain}`,
          '--serviceCluster',
          `${account}.$(POD_NAMESPACE)`,
          '--proxyLogLevel',
          'warning',
          '--proxyComponentLogLevel',
          'misc:error',
          '--log_output_level',
          'default:info',
        ],
        ports: [
          { name: 'metrics', containerPort: Port.stats, protocol: 'TCP' },
          { name: 'status-port', containerPort: Port.readiness, protocol: 'TCP' },
          { name: 'http-envoy-prom', containerPort: ENVOY_STATS_PORT, protocol: 'TCP' },
        ],
        startupProbe: {
          httpGet: { path: READINESS_PATH, port: Port.readiness },
          periodSeconds: 1,
          timeoutSeconds: 1,
          failureThreshold: 30,
        },
        readinessProbe: {
          httpGet: { path: READINESS_PATH, port: Port.readiness },
          periodSeconds: 15,
          timeoutSeconds: 1,
          failureThreshold: 4,
        },
        env: withMetadata(proxies, [
          { name: 'CA_ADDR', value: controlPlane },
          { name: 'PILOT_CERT_PROVIDER', value: 'istiod' },
          field('POD_NAME', 'metadata.name'),
          field('POD_NAMESPACE', 'metadata.namespace'),
          field('INSTANCE_IP', 'status.podIP'),
          field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
          field('HOST_IP', 'status.hostIP'),
          { name: 'ISTIO_CPU_LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
          { name: 'GOMEMLIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory' } } },
          {
            name: 'PROXY_CONFIG',
            value: JSON.stringify({ discoveryAddress: controlPlane, ...proxies.fields }),
          },
          { name: 'TRUST_DOMAIN', value: template.trustDomain },
          field('ISTIO_META_SERVICE_ACCOUNT', 'spec.serviceAccountName'),
          field('ISTIO_META_NODE_NAME', 'spec.nodeName'),
          { name: 'ISTIO_META_CLUSTER_ID', value: template.clusterId },
          { name: 'ISTIO_META_NETWORK', value: template.network },
          { name: 'ISTIO_META_INTERCEPTION_MODE', value: 'REDIRECT' },
          { name: 'ISTIO_META_WORKLOAD_NAME', value: name },
          { name: 'ISTIO_META_OWNER', value: owner },
          { name: 'ISTIO_META_MESH_ID', value: template.trustDomain },
        ]),
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2', memory: '1Gi' } },
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          privileged: false,
          readOnlyRootFilesystem: true,
          runAsGroup: PROXY_USER,
          runAsNonRoot: true,
          runAsUser: PROXY_USER,
        },
        volumeMounts: [
          { name: 'istiod-ca-cert', mountPath: directory(Path.rootCert) },
          { name: 'istio-token', mountPath: directory(Path.token) },
          { name: 'istio-envoy', mountPath: '/etc/istio/proxy' },
          { name: 'istio-data', mountPath: '/var/lib/istio/data' },
          { name: 'istio-podinfo', mountPath: '/etc/istio/pod' },
        ],
      },
    ],
    volumes: [
      { name: 'istiod-ca-cert', configMap: { name: ROOT_CERT_CONFIGMAP } },
      {
        name: 'istio-token',
        projected: {
          sources: [
            {
              serviceAccountToken: {
                audience: TOKEN_AUDIENCE,
                expirationSeconds: TOKEN_LIFETIME_SECONDS,
                path: 'istio-token',
              },
            },
          ],
        },
      },
      { name: 'istio-envoy', emptyDir: { medium: 'Memory' } },
      { name: 'istio-data', emptyDir: {} },
      {
        name: 'istio-podinfo',
        downwardAPI: {
          items: [
            { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
            { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
          ],
        },
      },
    ],
  };
}

/** Whoever asks for a longer drain isn't to be cut off by the kubelet. */
function gracePeriodSeconds({ terminationDrainMs = 0 }: ProxyDefaults): number {
  return Math.max(GRACE_PERIOD_SECONDS, Math.ceil(terminationDrainMs / 1_000) + AROUND_DRAIN_SECONDS);
}

/** Who a proxy is, and whom it obeys, is not for users to say; nor may a name be there twice. */
function withMetadata<T extends { readonly name: string }>(
  { environment }: ProxyDefaults,
  own: readonly T[],
) {
  const taken = new Set(own.map(({ name }) => name));
  const added = Object.entries(environment).filter(([name]) => !taken.has(name));
  return [...own, ...added.map(([name, value]) => ({ name, value }))];
}

function directory(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}
