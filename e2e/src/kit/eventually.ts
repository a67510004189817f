const INTERVAL_MS = 200;

/** Tries until it succeeds; the last failure is the error when the time is up. */
export async function eventually<T>(timeoutMs: number, attempt: () => Promise<T> | T): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  }
}
