import type { envoy } from '@weft/api/envoy';
import type { CompileContext, HeaderMap, StreamInfo } from '../../engine/types.ts';
import { fraction } from '../../filters/message.ts';
import { at, compileMetadataMatcher, compileRequestMatch } from '../../matching/index.ts';

type RouteMatchConfig = envoy.config.route.v3.RouteMatch.$Properties;

/** What a request must be like for the route, and its connection. */
export function compileMatch(
  match: RouteMatchConfig,
  context: CompileContext,
): (headers: HeaderMap, info: StreamInfo) => boolean {
  const request = compileRequestMatch(match);
  const conditions: ((info: StreamInfo) => boolean)[] = [];
  for (const [i, matcher] of (match.dynamicMetadata ?? []).entries()) {
    const matches = at(`dynamic_metadata[${i}]`, () => compileMetadataMatcher(matcher));
    conditions.push((info) => matches((namespace) => info.dynamicMetadata.get(namespace)));
  }
  const { tlsContext, runtimeFraction } = match;
  if (tlsContext?.presented) {
    const wanted = tlsContext.presented.value === true;
    conditions.push(({ connection }) => (connection.tls?.peerCertificatePem !== undefined) === wanted);
  }
  if (tlsContext?.validated) {
    const wanted = tlsContext.validated.value === true;
    conditions.push(({ connection }) => (connection.tls?.peerValidated === true) === wanted);
  }
  if (runtimeFraction) {
    const share = fraction(runtimeFraction.defaultValue);
    conditions.push(() => context.engine.random() < share);
  }
  if (conditions.length === 0) return request;
  return (headers, info) => request(headers) && conditions.every((holds) => holds(info));
}
