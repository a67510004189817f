/** What verifying a peer needs, without certificate authorities, gRPC and what they load: data threads are many. */
export * from './identity.ts';
export * from './pem.ts';
export * from './revocation.ts';
export type { WorkloadCertificate } from './workload-certificate.ts';
