// lint.mjs FILE: what two linters say of an OpenAPI document, as JSON lines; exit 1 when
// one of them finds an error.
import { readFileSync } from "node:fs";
import redocly from "@redocly/openapi-core";
import spectralCore from "@stoplight/spectral-core";
import rulesets from "@stoplight/spectral-rulesets";

const file = process.argv[2];
const found = [];

const config = await redocly.createConfig({ extends: ["recommended"] });
for (const p of await redocly.lint({ ref: file, config }))
  found.push({
    linter: "redocly", error: p.severity === "error", rule: p.ruleId,
    at: p.location[0]?.pointer, message: p.message,
  });

const spectral = new spectralCore.Spectral();
spectral.setRuleset({ extends: [[rulesets.oas, "recommended"]] });
for (const p of await spectral.run(JSON.parse(readFileSync(file, "utf8"))))
  found.push({
    linter: "spectral", error: p.severity === 0, rule: p.code,
    at: "/" + p.path.join("/"), message: p.message,
  });

for (const f of found) console.log(JSON.stringify(f));
process.exitCode = found.some((f) => f.error) ? 1 : 0;
