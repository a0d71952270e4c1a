// Writes what Node gives for each file here, one result a line: node answers.mjs [name…]
// The engine's tests compare with these (tests/javascript/node.rs). Made with Node 20.
import { readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const here = new URL('.', import.meta.url).pathname;
const names = process.argv.slice(2);
for (const file of readdirSync(here).filter((name) => name.endsWith('.js'))) {
  if (names.length && !names.includes(file.slice(0, -3))) continue;
  const results = JSON.parse(JSON.stringify(await require(`./${file}`).handler()));
  writeFileSync(`${here}${file}on`, `[\n${results.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`);
  console.log(`${file}: ${results.length} results`);
}
