import { expect, it } from '@jest/globals';
import { TestCluster } from './testing/test-cluster.ts';

/** What istiod has, and its dashboard and alerts ask for. */
const istiodNames = `
pilot_info pilot_services pilot_virt_services pilot_xds pilot_xds_pushes pilot_xds_push_time pilot_xds_send_time
pilot_xds_config_size_bytes pilot_xds_expired_nonce pilot_total_xds_rejects
pilot_xds_cds_reject pilot_xds_eds_reject pilot_xds_lds_reject pilot_xds_rds_reject
pilot_total_xds_internal_errors pilot_xds_write_timeout pilot_debounce_time pilot_pushcontext_init_seconds
pilot_proxy_queue_time pilot_proxy_convergence_time pilot_push_triggers pilot_inbound_updates
pilot_k8s_cfg_events pilot_k8s_reg_events pilot_conflict_inbound_listener
pilot_conflict_outbound_listener_tcp_over_current_tcp pilot_eds_no_instances pilot_endpoint_not_ready pilot_no_ip
pilot_sds_certificate_errors_total istiod_managed_clusters
sidecar_injection_requests_total sidecar_injection_success_total sidecar_injection_failure_total
sidecar_injection_skip_total galley_validation_passed galley_validation_failed
citadel_server_csr_count citadel_server_success_cert_issuance_count citadel_server_authentication_failure_count
citadel_server_csr_parsing_err_count citadel_server_id_extraction_err_count citadel_server_csr_sign_err_count
citadel_server_root_cert_expiry_timestamp citadel_server_cert_chain_expiry_timestamp
`
  .trim()
  .split(/\s+/);

it('has every metric of istiod’s, beside its own', async () => {
  const cluster = await TestCluster.start();
  try {
    cluster.api.put('/api/v1/pods', {
      metadata: { name: 'pending', namespace: 'shop', uid: 'pending' },
      ...{ status: { phase: 'Pending' } },
    });
    const { ports } = await cluster.controlPlane();
    const text = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text();
    const names = [...text.matchAll(/^# TYPE ((?:pilot|citadel|galley|istiod|sidecar)_\S+)/gm)].map(
      ([, name]) => name,
    );
    expect(new Set(names)).toEqual(new Set(istiodNames));
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    expect(['pilot_no_ip', 'pilot_endpoint_not_ready', 'pilot_xds_write_timeout'].map(value)).toEqual([
      1, 0, 0,
    ]);
    expect(value('pilot_pushcontext_init_seconds_count')).toBeGreaterThan(0);
    expect(text).toMatch(/^pilot_k8s_reg_events\{type="Pod",event="upsert"\} 4$/m);
  } finally {
    await cluster.close();
  }
});
