/** The process behind a Sandbox: runs the scenario's functions one after the other as its parent asks. */
const scenarioUrl = process.argv[2];
if (scenarioUrl === undefined) throw new Error('usage: sandbox-host SCENARIO_URL');

type Step = (...args: readonly unknown[]) => unknown;

const scenario = import(scenarioUrl) as Promise<Readonly<Record<string, Step>>>; // by the contract of Sandbox.start

process.on('message', (message) => {
  const { id, name, args } = message as { id: number; name: string; args: readonly unknown[] }; // from sandbox.ts
  void answer(id, name, args);
});
// The parent is gone or has no more questions. Scenarios clean up in `process.on('exit')`.
process.on('disconnect', () => process.exit(0));

async function answer(id: number, name: string, args: readonly unknown[]): Promise<void> {
  try {
    const step = (await scenario)[name];
    if (step === undefined) throw new Error(`the scenario exports no ${name}`);
    const value = await step(...args);
    process.send?.({ id, value: value ?? null });
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
