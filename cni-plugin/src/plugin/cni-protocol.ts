import { WeftError, describeError } from '@weft/telemetry';

/** Versions of the CNI specification that configurations and results may have. */
export const SPEC_VERSIONS: readonly string[] = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];

/** Error codes of the CNI specification; from 100 on they are a plugin's own. */
export const CniCode = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  internal: 999,
} as const;
export type CniCode = (typeof CniCode)[keyof typeof CniCode];

/** A failure with the code that the runtime is to see. */
export class CniFailure extends WeftError {
  readonly cniCode: CniCode;

  constructor(cniCode: CniCode, message: string, options?: { cause?: unknown }) {
    super('WEFT1706', message, options);
    this.cniCode = cniCode;
  }
}

/** The parameters that the runtime passes: environment variables of the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One call, as far as the environment tells. A pod's name is empty for a container that is no pod of Kubernetes. */
export interface Invocation {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';
  readonly netns: string;
  readonly podName: string;
  readonly podNamespace: string;
}

/** What the plugin prints, and the status it exits with. */
export interface Outcome {
  readonly exitCode: 0 | 1;
  readonly output: string;
}

/** The specification's list for each command. CNI_PATH is left out: it is for plugins that call others. */
const REQUIRED: Readonly<Record<Invocation['command'], readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  GC: [],
  STATUS: [],
  VERSION: [],
};
/** The first version that has the command. */
const SINCE: Partial<Readonly<Record<Invocation['command'], string>>> = {
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
/** What Linux takes as the name of an interface. */
const INTERFACE = /^(?!\.{1,2}$)[^\s/:]{1,15}$/;
/** RFC 1123, as Kubernetes has it: it goes into paths and log lines. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Throws code 4, with the names of the variables. */
export function parseEnvironment(environment: Environment): Invocation {
  const invalid = (what: string): CniFailure => new CniFailure(CniCode.invalidEnvironment, what);
  const command = environment['CNI_COMMAND'] ?? '';
  if (!isCommand(command)) throw invalid(`CNI_COMMAND "${command}" is unknown`);
  const missing = REQUIRED[command].filter((name) => (environment[name] ?? '') === '');
  if (missing.length > 0) throw invalid(`${missing.join(', ')} missing`);
  const needs = new Set(REQUIRED[command]);
  if (needs.has('CNI_CONTAINERID') && !CONTAINER_ID.test(environment['CNI_CONTAINERID'] ?? ''))
    throw invalid('CNI_CONTAINERID is not the name of a container');
  if (needs.has('CNI_IFNAME') && !INTERFACE.test(environment['CNI_IFNAME'] ?? ''))
    throw invalid('CNI_IFNAME is not the name of an interface');
  const given = parseArguments(environment['CNI_ARGS'] ?? '');
  const name = (key: string): string => {
    const value = given.get(key) ?? '';
    if (value !== '' && !SUBDOMAIN.test(value)) throw invalid(`CNI_ARGS: ${key} is not a name of Kubernetes`);
    return value;
  };
  return {
    command,
    netns: environment['CNI_NETNS'] ?? '',
    podName: name('K8S_POD_NAME'),
    podNamespace: name('K8S_POD_NAMESPACE'),
  };
}

function isCommand(text: string): text is Invocation['command'] {
  return Object.hasOwn(REQUIRED, text);
}

/** `K8S_POD_NAME=a;K8S_POD_NAMESPACE=b` */
function parseArguments(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split(';')
      .filter((pair) => pair.includes('='))
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

/** Throws code 1 for a version that is unknown, or older than the command. */
export function checkVersion(command: Invocation['command'], version: string): void {
  if (!SPEC_VERSIONS.includes(version)) {
    throw new CniFailure(
      CniCode.incompatibleVersion,
      `CNI version ${version} is not supported, but ${SPEC_VERSIONS.join(', ')}`,
    );
  }
  const since = SINCE[command];
  if (since !== undefined && SPEC_VERSIONS.indexOf(version) < SPEC_VERSIONS.indexOf(since)) {
    throw new CniFailure(
      CniCode.incompatibleVersion,
      `${command} needs CNI version ${since}, not ${version}`,
    );
  }
}

export function success(result?: unknown): Outcome {
  return { exitCode: 0, output: result === undefined ? '' : JSON.stringify(result) };
}

export function failure(cniVersion: string, error: unknown): Outcome {
  const object = {
    cniVersion,
    code: codeOf(error),
    msg: describeError(error),
    details: WeftError.is(error) ? error.next : '',
  };
  return { exitCode: 1, output: JSON.stringify(object) };
}

function codeOf(error: unknown): CniCode {
  if (error instanceof CniFailure) return error.cniCode;
  if (!WeftError.is(error)) return CniCode.internal;
  if (error.code === 'WEFT1706') return CniCode.decodingFailure;
  // A selector that is well-formed JSON and means nothing.
  if (error.code === 'WEFT1001') return CniCode.invalidConfig;
  return CniCode.tryAgainLater;
}
