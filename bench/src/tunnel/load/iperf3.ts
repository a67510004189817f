import { IPERF_PORT } from '../paths/bench-path.ts';
import { runIn, type Target } from './run-in.ts';

/** iperf3, one stream; gigabits that arrived in a second. */
export async function iperf3(target: Target, direction: 'fwd' | 'rev'): Promise<number> {
  const reverse = direction === 'rev' ? ['-R'] : [];
  const stdout = await runIn(target, 'iperf3', [
    '-c',
    target.ip,
    '-p',
    String(IPERF_PORT),
    '-t',
    String(target.seconds),
    '-J',
    ...reverse,
  ]);
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }; // iperf3's own shape
  return end.sum_received.bits_per_second / 1e9;
}
