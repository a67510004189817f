export const Port = {
  ztunnelAdmin: 15000,
  outboundCapture: 15001,
  inboundCapture: 15006,
  hbone: 15008,
  plaintextXds: 15010,
  xds: 15012,
  controlPlaneMetrics: 15014,
  webhooks: 15017,
  stats: 15020,
  readiness: 15021,
  proxyStats: 15090,
  dns: 15053,
  socks5: 15080,
  controlPlaneReady: 8080,
  cniHealth: 8000,
  cniMetrics: 15014,
} as const;

/** Mark on every socket that ztunnel makes for a pod; the in-pod rules let it pass. Decimal 1337. */
export const ZTUNNEL_MARK = 0x539;
export const MARK_MASK = 0xfff;
/** Connection mark of what ztunnel opened towards the application with the client's address. */
export const ZTUNNEL_CONNMARK = 0x111;
/** Routing table and rule preference that bring such replies back to ztunnel. */
export const INPOD_ROUTE_TABLE = 100;
export const INPOD_RULE_PREFERENCE = 32764;
/** Kubelet probes get this source address, which the in-pod rules leave alone. */
export const HOST_PROBE_SNAT_IPV4 = '169.254.7.127';
export const HOST_PROBE_SNAT_IPV6 = 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff';
