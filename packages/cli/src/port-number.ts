import { InvalidArgumentError } from 'commander';

/** Of a flag's value, for commander. */
export function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new InvalidArgumentError('expected a port');
  return port;
}
