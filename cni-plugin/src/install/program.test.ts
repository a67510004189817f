import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  installProgram,
  librariesOfThisProcess,
  nodeHasShell,
  removeProgram,
  type PluginProgram,
} from './program.ts';

describe('the program', () => {
  let dir: string;
  let binDir: string;
  let program: PluginProgram;
  const run = (command: string): { status: number | null; stdout: string } =>
    spawnSync(path.join(binDir, 'istio-cni'), {
      input: '{"cniVersion":"1.1.0"}',
      // A node has no search path for programs or libraries that we could count on.
      env: { CNI_COMMAND: command, NODE_OPTIONS: '--no-such-option' },
      encoding: 'utf8',
    });

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'program-'));
    binDir = path.join(dir, 'bin');
    mkdirSync(binDir);
    program = {
      bundleFile: path.join(dir, 'plugin.cjs'),
      executableFile: path.join(dir, 'executable'),
      nodeFile: process.execPath,
      libraryFiles: librariesOfThisProcess(),
    };
    writeFileSync(program.bundleFile, 'console.log("first", process.env.CNI_COMMAND); process.exitCode = 3');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('runs with its own Node, loader and libraries, and passes on what it prints and exits with', () => {
    installProgram(binDir, program, { hasShell: true });
    expect(run('ADD')).toMatchObject({ status: 3, stdout: 'first ADD\n' });
    const [version = ''] = readdirSync(path.join(binDir, '.istio-cni'));
    const mapped = spawnSync(path.join(binDir, '.istio-cni', version, 'node'), { input: '' }); // can run at all
    expect(mapped.status).toBe(0);
    writeFileSync(
      path.join(binDir, '.istio-cni', version, 'plugin.cjs'),
      'console.log(require("fs").readFileSync("/proc/self/maps", "utf8"))',
    );
    expect(librariesOfThisProcess(run('ADD').stdout).filter((file) => !file.startsWith(binDir))).toEqual([]);
  });

  it('is replaced as a whole, and the version before it stays for those that are just starting it', () => {
    const versions = (): readonly string[] => readdirSync(path.join(binDir, '.istio-cni'));
    installProgram(binDir, program, { hasShell: true });
    const [first] = versions();
    for (const text of ['second', 'third']) {
      writeFileSync(program.bundleFile, `console.log("${text}")`);
      installProgram(binDir, program, { hasShell: true });
      expect(run('ADD').stdout).toBe(`${text}\n`);
      expect(versions()).toHaveLength(2);
    }
    expect(versions()).not.toContain(first);
    installProgram(binDir, program, { hasShell: true });
    expect(versions()).toHaveLength(1);
  });

  it('is one executable on a node without a shell, where the image has one', () => {
    writeFileSync(program.executableFile, 'executable');
    installProgram(binDir, program, { hasShell: false });
    expect(readdirSync(binDir)).toEqual(['istio-cni']);
    expect(readFileSync(path.join(binDir, 'istio-cni'), 'utf8')).toBe('executable');
    installProgram(binDir, program, { hasShell: true });
    expect(readdirSync(binDir).sort()).toEqual(['.istio-cni', 'istio-cni']);
  });

  it('leaves nothing behind', () => {
    installProgram(binDir, program, { hasShell: true });
    removeProgram(binDir);
    expect(readdirSync(binDir)).toEqual([]);
    removeProgram(binDir);
  });

  it('knows a node without a shell', () => {
    expect(nodeHasShell('/proc')).toBe(true);
    mkdirSync(path.join(dir, '1/root/bin'), { recursive: true });
    expect(nodeHasShell(dir)).toBe(false);
  });

  it('names the libraries of a process, and no addons', () => {
    const libraries = librariesOfThisProcess();
    expect(libraries.some((file) => /\/ld-(linux|musl)[^/]*\.so/.test(file))).toBe(true);
    expect(libraries.every((file) => existsSync(file) && !file.endsWith('.node'))).toBe(true);
  });
});
