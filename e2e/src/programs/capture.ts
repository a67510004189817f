import { PacketCapture, parseTcpSegment } from '@weft/linux';

/**
 * Runs in a pod with the node's network: `capture.js INTERFACE ADDRESS ADDRESS`. Prints a line of JSON for each TCP
 * segment between the two addresses; the first line says that it listens.
 */
const [interfaceName = 'eth0', ...addresses] = process.argv.slice(2);

PacketCapture.open(interfaceName, (frame) => {
  const segment = parseTcpSegment(frame);
  if (segment === undefined) return;
  const { source, sourcePort, destination, destinationPort, payload } = segment;
  if (!addresses.includes(source) || !addresses.includes(destination)) return;
  process.stdout.write(
    `${JSON.stringify({ source, sourcePort, destination, destinationPort, text: payload.toString('latin1') })}\n`,
  );
});
process.stdout.write('listening\n');
