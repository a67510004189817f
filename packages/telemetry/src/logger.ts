import pino from 'pino';

export type LogLevel = 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace';
export type LogFormat = 'plain' | 'json';
export type LogFields = Readonly<Record<string, unknown>>;

/** A value that the plain format prints without quotes, as addresses are. */
export class Bare {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toJSON(): string {
    return this.text;
  }
}

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  trace(message: string, fields?: LogFields): void;
  enabled(level: LogLevel): boolean;
  /** A logger of another scope that shares output and levels. */
  scope(name: string): Logger;
}

export interface LogSink {
  write(line: string): void;
  flush(): void;
}

const rank: Record<LogLevel, number> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

/** Levels by scope, changeable at run time; the longest scope that matches wins, then the default. */
export class LogLevels {
  private readonly byScope = new Map<string, LogLevel>();
  private fallback: LogLevel;

  constructor(fallback: LogLevel = 'info') {
    this.fallback = fallback;
  }

  set(level: LogLevel, scope?: string): void {
    if (scope === undefined) this.fallback = level;
    else this.byScope.set(scope, level);
  }

  reset(level: LogLevel = 'info'): void {
    this.byScope.clear();
    this.fallback = level;
  }

  enabled(scope: string, level: LogLevel): boolean {
    return rank[level] <= rank[this.levelOf(scope)];
  }

  toString(): string {
    return [...[...this.byScope].map(([s, l]) => `${s}=${l}`), this.fallback].join(',');
  }

  private levelOf(scope: string): LogLevel {
    for (let s = scope; ; ) {
      const level = this.byScope.get(s);
      if (level !== undefined) return level;
      const cut = s.lastIndexOf('::');
      if (cut < 0) return this.fallback;
      s = s.slice(0, cut);
    }
  }
}

export function isLogLevel(text: string): text is LogLevel {
  return Object.hasOwn(rank, text);
}

/** About ten thousand lines; what comes on top waits for the reader, as no line may be lost. */
export const MAX_LOG_BUFFER = 2 * 1024 * 1024;

/** A descriptor, standard output unless told, through pino's buffered destination. */
export function stdoutSink(dest = 1): LogSink {
  const destination = pino.destination({ dest, sync: false, minLength: 0 });
  let gathered = '';
  let turn: NodeJS.Immediate | undefined;
  let buffered = 0;
  destination.on('drain', () => (buffered = 0));
  const passOn = (): void => {
    clearImmediate(turn);
    turn = undefined;
    const lines = gathered;
    gathered = '';
    if (lines !== '') buffered = destination.write(lines) ? 0 : buffered + lines.length;
  };
  const flush = (): void => {
    try {
      passOn();
      destination.flushSync();
    } catch {
      // The descriptor is not open yet or already gone; there is nowhere left to report that.
    }
    buffered = 0;
  };
  process.once('exit', flush);
  return {
    write: (line) => {
      // All lines of a turn in one write, which costs more than a line does.
      gathered += line;
      turn ??= setImmediate(passOn);
      if (buffered + gathered.length >= MAX_LOG_BUFFER) flush();
    },
    flush,
  };
}

function plainValue(value: unknown): string {
  if (value instanceof Bare) return value.text;
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  return String(value);
}

/** `<RFC 3339>⇥<level>⇥<scope>⇥<message>⇥k=v k=v`, as ztunnel and istiod print. */
export function plainLine(
  time: Date,
  level: LogLevel,
  scope: string,
  message: string,
  fields?: LogFields,
): string {
  const stamp = time.toISOString().replace('Z', '000Z');
  let line = `${stamp}\t${level}\t${scope}\t${message}`;
  let separator = '\t';
  // Without a list of entries: access logs are written by the thousand.
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    line += `${separator}${key}=${plainValue(value)}`;
    separator = ' ';
  }
  return `${line}\n`;
}

export function jsonLine(
  time: Date,
  level: LogLevel,
  scope: string,
  message: string,
  fields?: LogFields,
): string {
  return `${JSON.stringify({ level, time: time.toISOString().replace('Z', '000Z'), scope, message, ...fields })}\n`;
}

export interface LoggerOptions {
  readonly scope: string;
  readonly format?: LogFormat;
  readonly levels?: LogLevels;
  readonly sink?: LogSink;
  readonly now?: () => Date;
}

export function createLogger(options: LoggerOptions): Logger {
  const {
    scope,
    format = 'plain',
    levels = new LogLevels(),
    sink = stdoutSink(),
    now = () => new Date(),
  } = options;
  const render = format === 'json' ? jsonLine : plainLine;
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (levels.enabled(scope, level)) sink.write(render(now(), level, scope, message, fields));
  };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    trace: at('trace'),
    enabled: (level) => levels.enabled(scope, level),
    scope: (name) => createLogger({ scope: name, format, levels, sink, now }),
  };
}

/** A logger that says nothing; the default of library code. */
export const silentLogger: Logger = createLogger({
  scope: 'silent',
  levels: new LogLevels('off'),
  sink: { write: () => undefined, flush: () => undefined },
});
