// The page of the members-chat document, as it is, for two members: words and files both ways.
//
// Usage: node members-chat.mjs URL DOCUMENT. Exit status 0 means that all of it was seen.
// The page talks to localhost:8000; only the network is told where that is.
// CHROMIUM names the browser, if it is not /usr/bin/chromium.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [url, source] = process.argv.slice(2);
if (!source) {
  console.error("usage: node members-chat.mjs URL DOCUMENT");
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "members-chat-"));
const file = join(folder, "page.html");

// In the document every line of the page is indented, as Markdown wants it.
const lines = readFileSync(source, "utf8").split("\n");
const first = lines.findIndex((line) => line.trim().toLowerCase() === "<!doctype html>");
const last = lines.findIndex((line) => line.trim() === "</html>");
writeFileSync(file, lines.slice(first, last + 1).map((line) => line.replace(/^ {4}/, "")).join("\n"));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    `--host-resolver-rules=MAP localhost:8000 ${new URL(url).host}`,
  ],
});
let step = "start";
const say = (what) => console.log(`- ${(step = what)}`);

async function ask(path, body) {
  const answer = await fetch(url + path, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function member(name) {
  const account = { email: `${name}@mail.com`, password: "123" };
  await ask("/auth/register", { ...account, repeat_password: "123" });
  return ask("/auth/login", account);
}

/** A tab with the page, and what a person does there. */
async function tab() {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(15_000);
  const alerts = [];
  page.on("dialog", (dialog) => (alerts.push(dialog.message()), dialog.accept()));
  await page.goto(pathToFileURL(file).href);
  if ((await page.evaluate(() => origin)) !== "null") throw new Error("the origin is not null");
  const press = (field) => page.locator("form", { has: page.locator(field) }).getByRole("button").click();
  return {
    page,
    alerts,
    async open(other) {
      await page.locator("#other_member_id").fill(` ${other}`);
      await press("#other_member_id");
      await page.waitForFunction(() => window.ws?.readyState === WebSocket.OPEN);
    },
    async authorize(token) {
      await page.locator("#bearerText").fill(`Bearer ${token}`);
      await press("#bearerText");
    },
    async send(text) {
      await page.locator("#messageText").fill(text);
      await press("#messageText");
    },
    async upload(name, mimeType, buffer, text) {
      await page.locator("#messageText").fill(text);
      await page.locator("#filename").setInputFiles({ name, mimeType, buffer });
      await page.getByRole("button", { name: "Upload" }).click();
    },
    /** The lines of the list, once there are so many. */
    async lines(count) {
      await page.waitForFunction((count) => document.querySelectorAll("#messages li").length >= count, count);
      const texts = await page.locator("#messages li").allTextContents();
      if (texts.length !== count) throw new Error(`${texts.length} lines: ${texts}`);
      return texts.map((text) => JSON.parse(text));
    },
  };
}

function same(found, expected) {
  for (const [key, value] of Object.entries(expected)) {
    if (found[key] !== value) throw new Error(`${key} is ${JSON.stringify(found[key])}, not ${JSON.stringify(value)}`);
  }
}

async function together() {
  say("two members register and log in");
  const [ann, bob] = [await member("ann"), await member("bob")];

  say("both open the page from the disk and show their tokens");
  const [a, b] = [await tab(), await tab()];
  await a.open(bob.member_id);
  await b.open(ann.member_id);
  await a.authorize(ann.access_token);
  await b.authorize(bob.access_token);
  for (const one of [a, b]) if ((await one.lines(1))[0].length !== 0) throw new Error("the chat is not empty");

  let count = 1;
  /** The newest line of both tabs, which is the same. */
  const newest = async () => {
    count += 1;
    const [here, there] = [(await a.lines(count)).at(-1), (await b.lines(count)).at(-1)];
    same(here, there);
    return here;
  };

  say("plain words, several lines, quotes and explicit JSON, both ways");
  for (const [from, who, typed, text] of [
    [a, ann, "Hello, Bob!", "Hello, Bob!"],
    [b, bob, "Hello\nAnn & <b>all</b>", "Hello\nAnn & <b>all</b>"],
    [a, ann, '"hey"', "hey"],
    [b, bob, '{"type": "text", "text": "Hello, world!"}', "Hello, world!"],
  ]) {
    await from.send(typed);
    same(await newest(), { type: "text", text, member_id: who.member_id });
  }

  say("files with and without words, both ways");
  const bytes = Buffer.from([...Array(70_000).keys()].map((number) => number % 256));
  for (const [from, who, name, mime, text] of [
    [a, ann, "cat #1}.png", "image/png", "Here's the file!"],
    [b, bob, "котик.bin", "", ""],
  ]) {
    const alerts = from.alerts.length;
    await from.upload(name, mime, bytes, text);
    const message = await newest();
    same(message, { type: "file", text, member_id: who.member_id });
    const stored = await fetch(`${url}/storage?uuid=${message.file_uuid}`);
    same(Object.fromEntries(stored.headers), { "content-type": mime || "application/octet-stream" });
    if (!Buffer.from(await stored.arrayBuffer()).equals(bytes)) throw new Error("other bytes");
    await from.page.waitForFunction(() => true);
    if (from.alerts.length === alerts) throw new Error("the page did not say that it was sent");
  }

  say("a mistake is told, and the socket stays open");
  await a.send('{"type": "smile", "smile_id": 99}');
  same((await a.lines(count + 1)).at(-1), { type: "error", code: "smile_not_found" });

  say("the token pressed twice stays between the page and the server");
  await a.authorize(ann.access_token);
  same((await a.lines(count + 2)).at(-1), { type: "error", code: "already_authorized" });
  await b.lines(count);

  say("who comes back reads all of it");
  const again = await tab();
  await again.open(ann.member_id);
  await again.authorize(bob.access_token);
  const history = (await again.lines(1))[0];
  if (history.length !== count - 1) throw new Error(`${history.length} messages`);
}

try {
  await together();
  console.log("ok: the original page works for two members");
} catch (error) {
  console.error(`failed at "${step}": ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
