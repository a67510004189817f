import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, LogLevels } from '@weft/telemetry';
import type { ResourcePush } from '@weft/xds';
import { FileSource } from './file-source.ts';

const LISTENER = 'type.googleapis.com/envoy.config.listener.v3.Listener';

let directory: string;
let source: FileSource | undefined;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'weft-file-source-'));
});
afterEach(() => {
  source?.close();
  rmSync(directory, { recursive: true });
});

function follow(refused: readonly string[] = []) {
  const pushes: ResourcePush[] = [];
  const log: string[] = [];
  source = new FileSource({
    path: path.join(directory, 'lds.yaml'),
    consumer: {
      typeUrl: LISTENER,
      follows: 'all',
      receive: (push) => {
        pushes.push(push);
        return push.resources
          .filter(({ name }) => refused.includes(name))
          .map(({ name }) => ({ name, reason: 'refused' }));
      },
    },
    logger: createLogger({
      scope: 'test',
      levels: new LogLevels('info'),
      sink: { write: (line) => void log.push(line), flush: () => undefined },
    }),
  });
  return { source, pushes, log };
}

/** As deployments do it: a new file moved into place. */
function write(text: string): void {
  writeFileSync(path.join(directory, 'new'), text);
  renameSync(path.join(directory, 'new'), path.join(directory, 'lds.yaml'));
}

const resources = (version: string, ...names: readonly string[]) =>
  `version_info: "${version}"\nresources:\n${names.map((name) => `- {"@type": ${LISTENER}, name: ${name}}\n`).join('')}`;

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('resources in a file', () => {
  it('are read at once, and again when the file is replaced; what is missing then is removed', async () => {
    write(resources('1', 'a', 'b'));
    const { source: file, pushes } = follow();
    await file.read();
    expect(pushes[0]).toMatchObject({ version: '1', resources: [{ name: 'a' }, { name: 'b' }], removed: [] });
    write(resources('2', 'b', 'c'));
    await until(() => pushes.length > 1);
    expect(pushes[1]).toMatchObject({
      version: '2',
      resources: [{ name: 'b' }, { name: 'c' }],
      removed: ['a'],
    });
  });

  it('leave the last good ones in force when the file makes no sense', async () => {
    write(resources('1', 'a'));
    const { source: file, pushes, log } = follow();
    await file.read();
    write('resources: [{"@type": wrong}]');
    await until(() => log.length > 0);
    expect(log[0]).toContain('resources[0] is a wrong');
    expect(pushes).toHaveLength(1);
  });

  it('are refused by name, in the log', async () => {
    write(resources('1', 'a', 'b'));
    const { source: file, log } = follow(['b']);
    await file.read();
    expect(log).toHaveLength(1);
    expect(log[0]).toContain('resource="b"');
  });
});
