import type { StreamInfo } from '../engine/types.ts';
import { isGrpcContentType } from '../matching/index.ts';

const NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** The status that a gRPC response ended with, from its trailers or, trailers-only, its headers. */
export function grpcStatusOf(info: StreamInfo): number | undefined {
  if (!isGrpcContentType(info.requestHeaders?.get('content-type'))) return undefined;
  const text = info.responseTrailers?.get('grpc-status') ?? info.responseHeaders?.get('grpc-status');
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

export function grpcStatusName(status: number, style: 'camel' | 'snake'): string {
  const name = NAMES[status];
  if (name === undefined) return 'InvalidCode';
  if (style === 'camel' || name === 'OK') return name;
  return name.replace(/(?!^)([A-Z])/g, '_$1').toUpperCase();
}
