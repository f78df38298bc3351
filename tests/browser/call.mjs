// Two people call each other with the example page: ringing, answering, sound and picture, hanging up, declining.
//
// Usage: node call.mjs URL USER TOKEN USER TOKEN [EMAIL]. With the second one's address the two do not know each other
// yet and meet first. Exit status 0 means that all of it was seen.
// CHROMIUM names the browser, if it is not /usr/bin/chromium.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [url, ...people] = process.argv.slice(2);
if (people.length < 4 || people.length > 5) {
  console.error("usage: node call.mjs URL USER TOKEN USER TOKEN [EMAIL]");
  process.exit(2);
}
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const [example, guide] = [read("../../examples/call.html"), read("../../docs/calls.md")];
const client = guide.split("<!-- tested: tests/browser/calls.mjs -->\n```js\n")[1].split("\n```")[0];
if (!example.includes(client)) throw new Error("the example has another client than the guide");

// As any web server would have it: the example's folder after `npm ci`.
const library = read("node_modules/socket.io-client/dist/socket.io.min.js");
const server = createServer((request, response) => {
  const script = request.url.endsWith(".js");
  response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" });
  response.end(script ? library : example);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
});
const complaints = [];

async function open(own, other) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (line) => line.type() === "error" && !line.text().includes("favicon") && complaints.push(line.text()));
  const query = new URLSearchParams({ server: url, token: people[own * 2 + 1], user: people[other * 2] });
  await page.goto(`http://127.0.0.1:${server.address().port}/call.html?${query}`);
  await state(page, "Ready");
  return page;
}

const state = (page, text) => page.locator("#state", { hasText: text }).waitFor();
const press = (page, name) => page.getByRole("button", { name }).click();

/** Waits until the other's picture moves. */
const sees = (page) =>
  page.waitForFunction(() => {
    const video = document.getElementById("other");
    return video.videoWidth > 0 && video.currentTime > 0.2 && video.srcObject.getAudioTracks().length === 1;
  });

try {
  const [ann, bob] = await Promise.all([open(0, 1), open(1, 0)]);
  if (people[4]) {
    await press(ann, "Call");
    await state(ann, "do not share a circle");
    await ann.getByLabel("E-mail").fill(people[4]);
    await press(ann, "Invite");
    await state(ann, "Invited");
    await press(bob, "Join");
    await bob.locator("#invitation").waitFor({ state: "hidden" });
    console.log("- two who did not know each other have met");
  }
  await press(ann, "Call");
  await state(ann, "Ringing");
  await press(bob, "Answer");
  for (const page of [ann, bob]) await state(page, "Connected");
  for (const page of [ann, bob]) await sees(page);
  console.log("- two people see and hear each other");
  await press(ann, "Hang up");
  for (const page of [ann, bob]) await state(page, "ended");
  console.log("- a call is hung up");
  await press(bob, "Call");
  await press(ann, "Decline");
  for (const page of [ann, bob]) await state(page, "declined");
  console.log("- a call is declined");
  await press(ann, "Call");
  await press(bob, "Answer");
  for (const page of [ann, bob]) await sees(page);
  await press(bob, "Hang up");
  for (const page of [ann, bob]) await state(page, "ended");
  console.log("- and another one is answered");
  if (complaints.length) throw new Error(`the pages complained: ${complaints.join("; ")}`);
  console.log("ok: two people call each other");
} catch (error) {
  console.error(`failed: ${error.message}; ${complaints.join("; ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}
