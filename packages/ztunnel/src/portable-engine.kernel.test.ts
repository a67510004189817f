/** What holds on the fast engine, which `auto` takes wherever these tests run, holds on the portable one. */
process.env['ZTUNNEL_ENGINE'] = 'portable';
for (const suite of ['ztunnel', 'waypoint', 'networks', 'identity']) {
  const url = new URL(`./${suite}.kernel.test.js`, import.meta.url);
  await import(url.href);
}
