// Pairs of WebRTC stacks that meet over a data channel, through the server's relay alone.
//
// Usage: node pairs.mjs URL TOKEN [OFFERER,ANSWERER,WAY …]   these pairs, all of which must meet
//        node pairs.mjs --table PROGRAM                      all pairs over a server of their own, written into docs/calls.md
// CHROMIUM and FIREFOX name the browsers, if they are not /usr/bin/chromium and /usr/bin/firefox-esr.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";
import { peers } from "./peer.mjs";

const here = new URL(".", import.meta.url).pathname;
const python = join(here, ".venv/bin/python");
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const firefox = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const PATIENCE = 120_000;

/** A stack behind lines of JSON. */
async function started(program, ...words) {
  const child = spawn(program, words, { cwd: here, stdio: ["pipe", "pipe", "ignore"] });
  const waiting = new Map();
  let last = 0;
  const ready = new Promise((resolve, reject) => {
    child.on("exit", () => {
      const ended = new Error("the stack has ended");
      reject(ended);
      for (const { reject } of waiting.values()) reject(ended);
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!line.startsWith("{")) return; // what a library has to say
      const { id, result, error } = JSON.parse(line);
      if (id === undefined) return resolve();
      const { resolve: done, reject: fail } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) fail?.(new Error(error));
      else done?.(result);
    });
  });
  await ready;
  const call = (call, ...args) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id: last, call, args })}\n`);
    });
  return { call, stop: () => child.kill("SIGKILL") };
}

/** A browser behind the same calls. */
async function browsed(url, options) {
  const browser = await puppeteer.launch({ headless: true, protocolTimeout: 2 * PATIENCE, ...options });
  const page = await browser.newPage();
  await page.goto(`${url}/healthz`);
  await page.evaluate(`globalThis.sides = (${peers})(RTCPeerConnection); 0`);
  const call = (call, ...args) => page.evaluate((call, args) => Promise.resolve(globalThis.sides[call](...args)).then((told) => told ?? null), call, args);
  return { call, stop: () => browser.close() };
}

const STACKS = {
  Chromium: {
    there: () => existsSync(chromium),
    open: (url) => browsed(url, { executablePath: chromium, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"] }),
  },
  "Firefox ESR": {
    there: () => existsSync(firefox),
    open: (url) => browsed(url, { browser: "firefox", executablePath: firefox, extraPrefsFirefox: { "media.peerconnection.ice.loopback": true } }),
  },
  aiortc: { there: () => existsSync(python), open: () => started(python, "stack.py") },
  ...Object.fromEntries(["node-datachannel", "@roamhq/wrtc", "werift"].map((name) => [name, { there: () => existsSync(join(here, "node_modules", name)), open: () => started("node", "stack.mjs", name) }])),
};

/** Leaves the candidates that lead through a relay: some stacks cannot be told to have no others. */
const relayed = (sdp) => sdp.split(/\r?\n/).filter((line) => !line.startsWith("a=candidate:") || line.includes(" typ relay")).join("\r\n");

async function within(what) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("it takes too long")), PATIENCE)));
  return Promise.race([what, late]).finally(() => clearTimeout(timer));
}

let pairs = 0;

/** Whether two meet; the reason if not. */
async function meet(stacks, [offerer, answerer, way], iceServers) {
  const [key, one, other] = [`${++pairs}`, stacks[offerer], stacks[answerer]];
  // libjuice knows no TURN over TCP.
  const servers = (name) => {
    const wanted = way === "tcp" && name !== "node-datachannel" ? "transport=tcp" : "transport=udp";
    // One address by itself: some stacks take no list, or only its first.
    return iceServers.map((server) => ({ ...server, urls: server.urls.find((url) => url.endsWith(wanted)) }));
  };
  const meeting = async () => {
    await one.call("open", `${key}a`, servers(offerer), true);
    await other.call("open", `${key}b`, servers(answerer), false);
    const offer = relayed(await one.call("offer", `${key}a`));
    if (!offer.includes("typ relay")) throw new Error(`${offerer} got no relay`);
    const answer = relayed(await other.call("answer", `${key}b`, offer));
    if (!answer.includes("typ relay")) throw new Error(`${answerer} got no relay`);
    await one.call("accept", `${key}a`, answer);
    const heard = await Promise.all([one.call("heard", `${key}a`), other.call("heard", `${key}b`)]);
    if (heard.join() !== "hello,hello") throw new Error(`they heard ${heard}`);
  };
  const outcome = await within(meeting()).then(() => undefined, (error) => error.message);
  for (const [stack, side] of [[one, "a"], [other, "b"]]) await within(stack.call("close", key + side)).catch(() => {});
  return outcome;
}

async function opened(url, names) {
  const stacks = {};
  for (const name of names) {
    if (STACKS[name].there()) stacks[name] = await within(STACKS[name].open(url));
    else console.log(`skipped: ${name}, which is not installed`);
  }
  return stacks;
}

async function servers(url, token) {
  const answer = await fetch(`${url}/webrtc/ice-servers`, { headers: { authorization: token } });
  return (await answer.json()).iceServers.filter((server) => server.credential);
}

async function some(url, token, wanted) {
  const list = wanted.map((pair) => pair.split(","));
  const stacks = await opened(url, new Set(list.flatMap(([offerer, answerer]) => [offerer, answerer])));
  const iceServers = await servers(url, token);
  let failed = 0;
  for (const pair of list) {
    if (!stacks[pair[0]] || !stacks[pair[1]]) continue;
    const reason = await meet(stacks, pair, iceServers);
    console.log(`- ${pair.join(", ")}: ${reason ?? "they meet"}`);
    failed += reason ? 1 : 0;
  }
  for (const stack of Object.values(stacks)) await stack.stop();
  if (failed) throw new Error(`${failed} pairs do not meet`);
  console.log("ok: pairs meet through the relay");
}

/** A server with a fresh folder, its address and a token. */
async function serving(program) {
  const folder = mkdtempSync(join(tmpdir(), "pairs-"));
  const env = { ...process.env, KLATSCH_DATA_DIR: folder, KLATSCH_HTTP__LISTEN: "127.0.0.1:0", KLATSCH_TURN__LISTEN: "127.0.0.1:0", KLATSCH_COURIER__LISTEN: "", KLATSCH_PRIVATE_CHAT__LISTEN: "" };
  const server = spawn(program, ["serve"], { env, cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: server.stdout });
  const url = await new Promise((found) =>
    lines.on("line", (line) => {
      const told = JSON.parse(line);
      if (told.part === "http") found(told.url);
    }),
  );
  const klatsch = (...words) => execFileSync(program, words, { env, cwd: folder, encoding: "utf8" }).trim();
  klatsch("user", "add", "ann@example.org");
  const token = klatsch("user", "token", "ann@example.org");
  const stop = async () => {
    const ended = new Promise((done) => server.on("exit", done));
    server.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, token, stop };
}

async function table(program) {
  const { url, token, stop } = await serving(resolve(program));
  const stacks = await opened(url, Object.keys(STACKS));
  const iceServers = await servers(url, token);
  const names = Object.keys(STACKS);
  const lines = [];
  for (const way of ["udp", "tcp"]) {
    lines.push(`| offers ↓, answers → (${way.toUpperCase()}) | ${names.join(" | ")} |`, `| --- |${" --- |".repeat(names.length)}`);
    for (const offerer of names) {
      const cells = [];
      for (const answerer of names) {
        const there = stacks[offerer] && stacks[answerer];
        const reason = there ? await meet(stacks, [offerer, answerer, way], iceServers) : undefined;
        cells.push(there ? (reason ? "no" : "yes") : "not tried");
        console.log(`- ${offerer}, ${answerer}, ${way}: ${there ? (reason ?? "they meet") : "skipped"}`);
      }
      lines.push(`| ${offerer} | ${cells.join(" | ")} |`);
    }
    lines.push("");
  }
  for (const stack of Object.values(stacks)) await stack.stop();
  await stop();
  const guide = join(here, "../../docs/calls.md");
  const [before, rest] = readFileSync(guide, "utf8").split("<!-- pairs: written by `make pairs` -->\n");
  const after = rest.split("<!-- end of pairs -->")[1];
  writeFileSync(guide, `${before}<!-- pairs: written by \`make pairs\` -->\n\n${lines.join("\n")}\n<!-- end of pairs -->${after}`);
}

const [first, second, ...rest] = process.argv.slice(2);
if (!second) {
  console.error("usage: node pairs.mjs URL TOKEN OFFERER,ANSWERER,WAY … | --table PROGRAM");
  process.exit(2);
}
try {
  await (first === "--table" ? table(second) : some(first, second, rest));
  process.exit(0);
} catch (error) {
  console.error(`failed: ${error.message}`);
  process.exit(1);
}
