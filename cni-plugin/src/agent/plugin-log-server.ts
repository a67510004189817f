import { UnixHttpServer, readSmallBody } from './unix-http-server.ts';

/** A line of a plugin's log, spelled as Istio's plugin spells it. */
export interface PluginLogLine {
  readonly level: string;
  readonly msg: string;
}

/** Takes what plugins of this node have to say: a POST to `/log` of a list of JSON texts. */
export function listenForPluginLogs(
  socketPath: string,
  onLine: (line: PluginLogLine) => void,
): Promise<UnixHttpServer> {
  return UnixHttpServer.listen(socketPath, async (request, response) => {
    let status = 404;
    if (request.method === 'POST' && request.url === '/log') {
      try {
        for (const line of parseLines(await readSmallBody(request))) onLine(line);
        status = 200;
      } catch {
        status = 400; // too large, or cut off
      }
    }
    response.writeHead(status).end();
  });
}

/** What is no line is left out: a plugin of another version must not lose the rest. */
function parseLines(text: string): readonly PluginLogLine[] {
  const lines = parse(text);
  if (!Array.isArray(lines)) return [];
  return lines.flatMap((line: unknown) => {
    const entry = typeof line === 'string' ? parse(line) : undefined;
    if (typeof entry !== 'object' || entry === null) return [];
    const level: unknown = Reflect.get(entry, 'level');
    const msg: unknown = Reflect.get(entry, 'msg');
    return typeof level === 'string' && typeof msg === 'string' ? [{ level, msg }] : [];
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
