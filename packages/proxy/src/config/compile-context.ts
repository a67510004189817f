import { ConfigError, type CompileContext, type Engine, type ListenerScope } from '../engine/types.ts';

/** What a resource waits for before it takes over. */
export class WarmUp {
  private readonly waiting = new Set<string>();
  private readonly onWarm: () => void;
  private compiled = false;
  private count = 0;

  constructor(onWarm: () => void) {
    this.onWarm = onWarm;
  }

  /** What is missing still. */
  get pending(): readonly string[] {
    return [...this.waiting].map((key) => key.slice(key.indexOf(' ') + 1));
  }

  wait(what: string): () => void {
    const key = `${this.count++} ${what}`;
    this.waiting.add(key);
    return () => {
      if (this.waiting.delete(key)) this.check();
    };
  }

  /** Compilation is over: warm as soon as nothing is missing, perhaps now. */
  seal(): void {
    this.compiled = true;
    this.check();
  }

  private check(): void {
    if (this.compiled && this.waiting.size === 0) {
      this.compiled = false;
      this.onWarm();
    }
  }
}

export interface CompileScope {
  readonly engine: Engine;
  readonly resource: string;
  readonly warmUp: WarmUp;
  readonly listener?: ListenerScope;
}

export function createCompileContext(scope: CompileScope, path = ''): CompileContext {
  return {
    engine: scope.engine,
    resource: scope.resource,
    path,
    at: (segment) =>
      createCompileContext(
        scope,
        path === '' ? segment : `${path}${segment.startsWith('[') ? '' : '.'}${segment}`,
      ),
    fail: (reason, cause) => {
      throw new ConfigError(scope.resource, path, reason, cause === undefined ? undefined : { cause });
    },
    warmUp: (what) => scope.warmUp.wait(what),
    ...(scope.listener === undefined ? {} : { listener: scope.listener }),
  };
}
