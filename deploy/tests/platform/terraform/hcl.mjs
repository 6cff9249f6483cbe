// Prints what the HCL files below a directory say, as JSON: {PATH: WHAT IT SAYS}. An expression is
// the string "${EXPRESSION}". The parser is HashiCorp's, as WebAssembly.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, directory] = process.argv.slice(2);
const { parse } = createRequire(`${packages}/package.json`)("@cdktf/hcl2json");
const said = {};
for (const path of readdirSync(directory, { recursive: true }).sort()) {
  if (!/\.(tf|hcl)$/.test(path)) continue;
  try {
    said[path] = await parse(path, readFileSync(`${directory}/${path}`, "utf8"));
  } catch (error) {
    console.error(`${path} is no HCL: ${error.message ?? error}`);
    process.exit(1);
  }
}
// The parser would wait for more, for ever.
process.stdout.write(JSON.stringify(said), () => process.exit());
