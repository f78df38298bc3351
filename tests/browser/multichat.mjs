// Two people in a page that reads packets as the page of before did, in a real browser; then the
// server's own page, and the example for client authors.
//
// Usage: node multichat.mjs URL STAFF OTHER LOBBY EXAMPLE TOKEN: two names with the password
// "secret", a room, and a token. Exit status 0 means that all of it was seen.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [url, staff, other, lobby, example, token] = process.argv.slice(2);
const html = readFileSync(new URL("multichat.html", import.meta.url), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const complaints = [];
const alerts = [];
let step = "start";
const say = (what) => console.log(`- ${(step = what)}`);

function expect(truth, what) {
  if (!truth) throw new Error(what);
}

async function window(name) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  page.on("dialog", (dialog) => { alerts.push(`${name}: ${dialog.message()}`); dialog.accept(); });
  await page.goto(`${url}/chat/`);
  await page.getByLabel("Name or e-mail").fill(name);
  await page.getByLabel("Password").fill("secret");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#chats").waitFor({ state: "attached" });
  return page;
}

async function before(page) {
  await page.route("**/before/", (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.goto(`${url}/before/`);
  await page.waitForFunction(() => globalThis.opened >= 1 && globalThis.listed);
}

const link = (page, title) => page.locator("li.room-link", { hasText: title });
const room = (page, title) => page.locator(".room", { hasText: title });
const line = (page, title, text) => room(page, title).locator(".message", { hasText: text });

async function write(page, title, text) {
  await room(page, title).locator("input").fill(text);
  await room(page, title).getByRole("button", { name: "Send" }).click();
}

async function alerted(text) {
  for (let tries = 0; tries < 150 && !alerts.some((one) => one.includes(text)); tries += 1) {
    await new Promise((done) => setTimeout(done, 100));
  }
  expect(alerts.some((one) => one.includes(text)), `no alert with ${text}, but ${alerts}`);
}

try {
  say("two people log in by the form");
  const a = await window(staff);
  const b = await window(other);
  await before(a);
  await before(b);

  say("the list is ordered by title and shows the staff's room to everybody");
  const titles = await b.locator("li.room-link").allTextContents();
  expect(JSON.stringify(titles) === JSON.stringify([...titles].sort()), `not by title: ${titles}`);
  expect(titles.includes("Staff"), `no staff room: ${titles}`);

  say("messages both ways, one's own once, and who joins");
  await link(a, "Lobby").click();
  await room(a, "Lobby").waitFor();
  await link(b, "Lobby").click();
  await line(a, "Lobby", `${other} joined the room!`).waitFor();
  await write(b, "Lobby", "hello from b");
  await write(b, "Lobby", "");
  await line(a, "Lobby", "hello from b").waitFor();
  await write(a, "Lobby", "hello from a");
  await line(b, "Lobby", "hello from a").waitFor();
  expect((await line(b, "Lobby", "hello from b").count()) === 1, "one's own message came twice");
  expect((await line(b, "Lobby", "joined").count()) === 0, "one's own arrival was told");

  say("two rooms at once");
  await link(a, "Staff").click();
  await room(a, "Staff").waitFor();
  await write(a, "Staff", "among us");
  await line(a, "Staff", "among us").waitFor();
  await write(a, "Lobby", "among all");
  await line(b, "Lobby", "among all").waitFor();

  say("a refusal opens an alert box");
  await link(b, "Staff").click();
  await alerted("ROOM_ACCESS_DENIED");

  say("nothing of what is typed runs, and all of it is seen");
  const nasty = "<script>globalThis.hit=1</script><img src=x onerror='globalThis.hit=1'> & \"quoted\"";
  await write(b, "Lobby", nasty);
  await line(a, "Lobby", "quoted").waitFor();
  const seen = await line(a, "Lobby", "quoted").locator("span").textContent();
  expect(seen === nasty, `shown as ${seen}`);
  await link(a, "<b>").click();
  await a.locator(".room h2", { hasText: "<b>&amp;" }).waitFor();
  expect((await a.evaluate(() => globalThis.hit)) === undefined, "it ran");

  say("packets of every type leave the page as it is");
  const shownBefore = await a.locator("body").innerHTML();
  await a.evaluate((id) => {
    const more = { room: id, id: 1, username: "x", usernames: [], messages: [], rooms: [], title: "t", message: "m" };
    for (const type of [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 99]) globalThis.read({ ...more, msg_type: type });
    globalThis.read({ msg_type: 0, room: id, username: "x", message: "" });
  }, lobby);
  expect((await a.locator("body").innerHTML()) === shownBefore, "the page is another one");
  await b.evaluate((id) => {
    for (const [command, more] of [["rooms", {}], ["members", {}], ["history", {}], ["typing", { typing: true }]]) {
      socket.send(JSON.stringify({ command, room: id, ...more }));
    }
  }, lobby);
  await write(b, "Lobby", "the end of it");
  await line(b, "Lobby", "the end of it").waitFor();
  await line(a, "Lobby", "the end of it").waitFor();
  expect((await a.locator(".room").count()) === 3, "there is another box");
  for (const [type, kind] of [[1, "warning"], [2, "alert"], [3, "muted"]]) {
    await a.evaluate(([id, msg_type]) => globalThis.read({ msg_type, room: id, message: `type ${msg_type}` }), [lobby, type]);
    await room(a, "Lobby").locator(`.${kind}`, { hasText: `type ${type}` }).waitFor();
  }
  expect(alerts.length === 1, `alerts: ${alerts}`);

  say("leaving closes the box, and the others are told");
  await link(b, "Lobby").click();
  await room(b, "Lobby").waitFor({ state: "detached" });
  await line(a, "Lobby", `${other} left the room!`).waitFor();

  say("the server's own page");
  await b.goto(`${url}/chat/`);
  await b.locator("li.room-link", { hasText: "Lobby" }).click();
  await room(b, "Lobby").locator(".messages", { hasText: "the end of it" }).waitFor();
  await write(b, "Lobby", "from the new page");
  await line(a, "Lobby", "from the new page").waitFor();
  await write(a, "Lobby", nasty);
  await room(b, "Lobby").locator("p", { hasText: nasty }).last().waitFor();

  say("the example for client authors");
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (error) => complaints.push(`example: ${error}`));
  const query = new URLSearchParams({ server: url.replace("http", "ws"), token, room: lobby });
  await page.goto(`${pathToFileURL(example)}?${query}`);
  await page.locator("#said li", { hasText: "from the new page" }).waitFor();
  await page.locator("#text").fill("from the example");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#said li.own", { hasText: "from the example" }).waitFor();
  await line(a, "Lobby", "from the example").waitFor();

  expect(complaints.length === 0, `complaints:\n${complaints.join("\n")}`);
  console.log("ok: the pages of rooms work");
} catch (error) {
  console.error(`failed at: ${step}\n${error.stack}\ncomplaints: ${complaints.join("\n")}\nalerts: ${alerts.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
