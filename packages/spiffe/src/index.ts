export * from './ca-client.ts';
export * from './certificate-authority.ts';
export * from './certificate-source.ts';
export type { CertificateSubject, KeyUsage, SubjectNames } from './certificate.ts';
export * from './csr.ts';
export * from './keys.ts';
export * from './verification.ts';
export * from './workload-certificate.ts';
