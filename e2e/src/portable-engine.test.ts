/** What holds on the fast engine, which `auto` takes wherever these tests run, holds on the portable one. */
process.env['ZTUNNEL_ENGINE'] = 'portable';
for (const suite of ['ambient', 'bad-days', 'waypoint', 'waypoint-bad-days', 'waypoint-matrix']) {
  const url = new URL(`./${suite}.test.js`, import.meta.url);
  await import(url.href);
}
