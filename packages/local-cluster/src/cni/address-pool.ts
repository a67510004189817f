import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cniCode, PluginFailure } from './plugin-failure.ts';

/** Beside the files of the addresses: where the last search ended. */
const LAST_FILE = 'last-reserved';

/**
 * The addresses of a node's pods, one small JSON file for each that is taken, named by the address. Creating a file
 * exclusively is the lock, so plugins that run side by side need no other.
 */
export class AddressPool {
  private readonly directory: string;
  private readonly range: Ipv4Range;

  /** `cidr` such as `10.244.1.0/24`. */
  constructor(directory: string, cidr: string) {
    this.directory = directory;
    this.range = parseIpv4Range(cidr);
  }

  /** The first address, which is the pods' gateway. */
  get gateway(): string {
    return formatIpv4(this.range.first + 1);
  }

  /**
   * Takes the next free address after the one given out last, so that an address rests before it is used again:
   * peers may still hold connections to the pod that had it.
   * @throws PluginFailure "try again later" when none is left
   */
  reserve(containerId: string): string {
    mkdirSync(this.directory, { recursive: true });
    const first = this.range.first + 2;
    const count = this.range.size - 3; // without network, gateway and broadcast
    const start = this.lastReserved() + 1;
    for (let step = 0; step < count; step++) {
      const offset = (((start - first + step) % count) + count) % count;
      const address = formatIpv4(first + offset);
      if (!this.take(address, containerId)) continue;
      writeFileSync(join(this.directory, LAST_FILE), address);
      return address;
    }
    throw new PluginFailure(
      cniCode.tryAgainLater,
      `all ${count} addresses below ${this.directory} are taken`,
    );
  }

  /** The address of a container, or undefined. */
  find(containerId: string): string | undefined {
    return this.taken().find((entry) => entry.containerId === containerId)?.address;
  }

  /** Harmless when the container has none. */
  release(containerId: string): void {
    for (const entry of this.taken()) {
      if (entry.containerId === containerId) rmSync(join(this.directory, entry.address), { force: true });
    }
  }

  taken(): readonly { readonly address: string; readonly containerId: string }[] {
    const entries: { address: string; containerId: string }[] = [];
    for (const name of listDirectory(this.directory)) {
      if (!/^\d+\.\d+\.\d+\.\d+$/.test(name)) continue;
      const containerId = readContainerId(join(this.directory, name));
      if (containerId !== undefined) entries.push({ address: name, containerId });
    }
    return entries;
  }

  private take(address: string, containerId: string): boolean {
    try {
      writeFileSync(join(this.directory, address), JSON.stringify({ containerId }), { flag: 'wx' });
      return true;
    } catch (error) {
      if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'EEXIST')
        return false;
      throw error;
    }
  }

  private lastReserved(): number {
    try {
      return parseIpv4(readFileSync(join(this.directory, LAST_FILE), 'utf8').trim());
    } catch {
      return this.range.first + 1;
    }
  }
}

interface Ipv4Range {
  readonly first: number;
  readonly size: number;
}

export function parseIpv4Range(cidr: string): Ipv4Range {
  const [address = '', lengthText = ''] = cidr.split('/');
  const length = /^\d+$/.test(lengthText) ? Number(lengthText) : Number.NaN;
  if (!(length >= 8 && length <= 29))
    throw new PluginFailure(cniCode.configInvalid, `${cidr}: expected an IPv4 range of /8 to /29`);
  const size = 2 ** (32 - length);
  const value = parseIpv4(address);
  return { first: value - (value % size), size };
}

function parseIpv4(text: string): number {
  const parts = text.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : Number.NaN));
  if (parts.length !== 4 || !parts.every((part) => part <= 255)) {
    throw new PluginFailure(cniCode.configInvalid, `${text}: expected an IPv4 address`);
  }
  return parts.reduce((value, part) => value * 256 + part, 0);
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function readContainerId(path: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const id =
      typeof parsed === 'object' && parsed !== null && 'containerId' in parsed
        ? parsed.containerId
        : undefined;
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined; // released by another plugin between listing and reading, or not yet written
  }
}
