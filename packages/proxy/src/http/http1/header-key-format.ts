import type { envoy } from '@weft/api/envoy';
import { invalid } from '../../matching/index.ts';
import type { HeaderKeyFormat } from '../codec.ts';

const PRESERVE_CASE =
  'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';

/** @throws InvalidValue */
export function compileHeaderKeyFormat(
  config: envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.$Properties | null | undefined,
): HeaderKeyFormat {
  switch (config?.headerFormat) {
    case 'properCaseWords':
      return 'proper-case';
    case 'statefulFormatter': {
      const typeUrl = config.statefulFormatter?.typedConfig?.type_url ?? '';
      return typeUrl === PRESERVE_CASE
        ? 'preserve-case'
        : invalid(`Didn't find a registered implementation for type URL: '${typeUrl}'`, 'stateful_formatter');
    }
    default:
      return 'lower-case';
  }
}
