// Builds the page into dist/: one script, one style sheet, and the official Socket.IO bundles beside them.
import { build } from "esbuild";
import { cp, mkdir, rm } from "node:fs/promises";

const out = "dist";
await rm(out, { recursive: true, force: true });
await mkdir(`${out}/socket.io`, { recursive: true });

await build({
  entryPoints: { app: "src/main.ts", style: "src/style.css" },
  outdir: `${out}/assets`,
  bundle: true,
  minify: true,
  target: "es2022",
  logLevel: "warning",
});

// What Socket.IO servers serve at /socket.io/, byte for byte from the package.
for (const name of ["socket.io.js", "socket.io.min.js"]) {
  for (const file of [name, `${name}.map`]) {
    await cp(`node_modules/socket.io-client/dist/${file}`, `${out}/socket.io/${file}`);
  }
}

await cp("src/icon.svg", `${out}/assets/icon.svg`);
// Last: its age says that everything before it is there.
await cp("src/index.html", `${out}/index.html`);
