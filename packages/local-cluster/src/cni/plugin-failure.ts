/** Codes of the CNI specification, section 2, that the base plugin answers with. */
export const cniCode = {
  versionUnsupported: 1,
  environmentInvalid: 4,
  decodingFailed: 6,
  configInvalid: 7,
  tryAgainLater: 11,
  checkFailed: 101,
  generic: 999,
} as const;

/**
 * Why the base plugin fails. Not a WeftError: the plugin is a process per call, and loading the telemetry package
 * would take longer than its work. The kubelet reports it as WEFT2067.
 */
export class PluginFailure extends Error {
  readonly cniCode: number;

  constructor(code: number, message: string) {
    super(message);
    this.cniCode = code;
  }
}
