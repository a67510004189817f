import { heapSnapshot, type AdminHandler, type ProfileOptions } from '@weft/telemetry';

/** Takes a profile of the control thread, `control`, or of a data thread, `data-0` and so on; undefined for no thread. */
export type TakeProfile = (thread: string, options: ProfileOptions) => Promise<string> | undefined;

const badRequest = (what: string) => ({ status: 400, body: `${what}\n` });

/** `/debug/pprof/profile`, one at a time, with the parameters of upstream and V8's format. */
export function profileHandler(takeProfile: TakeProfile): AdminHandler {
  let isRunning = false;
  return async ({ url }) => {
    const parameter = (name: string, fallback: number, max: number): number | undefined => {
      const text = url.searchParams.get(name) ?? String(fallback);
      const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
      return value >= 1 && value <= max ? value : undefined;
    };
    const seconds = parameter('seconds', 10, 300);
    if (seconds === undefined) return badRequest('seconds: expected a whole number from 1 to 300');
    const samplesPerSecond = parameter('frequency', 100, 1_000);
    if (samplesPerSecond === undefined)
      return badRequest('frequency: expected a whole number from 1 to 1000');
    if (isRunning) return { status: 409, body: 'another profile is being taken\n' };
    isRunning = true;
    try {
      const thread = url.searchParams.get('thread') ?? 'control';
      const profile = takeProfile(thread, { durationMs: seconds * 1_000, samplesPerSecond });
      if (profile === undefined) return badRequest(`thread: there is no ${thread}`);
      return { contentType: 'application/json', body: await profile };
    } finally {
      isRunning = false;
    }
  };
}

/** `/debug/pprof/heap`: the control thread's heap snapshot. */
export const heapHandler: AdminHandler = () => ({ contentType: 'application/json', body: heapSnapshot() });
