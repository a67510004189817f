/**
 * `describe` of jest, or its `skip` with one line that says why, where this machine lacks what the tests need. In CI
 * they run all the same and fail: a test that nobody sees is no test.
 */
export function skipIf<D>(obstacle: string | undefined, describe: D & { readonly skip: D }): D {
  if (obstacle === undefined) return describe;
  console.warn(`skipped: ${obstacle}`);
  return process.env['CI'] === 'true' ? describe : describe.skip;
}
