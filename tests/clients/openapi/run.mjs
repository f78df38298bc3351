// Makes a client of a server's OpenAPI document, checks it by its types, and runs it.
// Usage: node run.mjs SERVER. Exit status 0 means that all of it worked.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const here = fileURLToPath(new URL(".", import.meta.url));
const [server] = process.argv.slice(2);
const types = astToString(await openapiTS(new URL("/docs/openapi.json", server)));
mkdirSync(`${here}/built`, { recursive: true });
writeFileSync(`${here}/built/klatsch.d.ts`, types);
execFileSync(process.execPath, [`${here}/node_modules/typescript/bin/tsc`, "-p", here], { stdio: "inherit" });
execFileSync(process.execPath, [`${here}/built/client.js`, server], { stdio: "inherit" });
