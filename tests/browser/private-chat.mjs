// The old page of private-chat, and the server's own, in a real browser: colours, header, messages, typing, read marks.
//
// Usage: node private-chat.mjs TASK, which is JSON: where the server is, and who has which key and cookie.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const { url, base, people } = JSON.parse(process.argv[2]);
const template = readFileSync(new URL("private-chat.html", import.meta.url), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    // A page from elsewhere talks with a server on this machine.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"],
});
const complaints = [];
const keys = Object.values(people).map((person) => person.key);
let step = "start";
const say = (what) => console.log(`- ${(step = what)}`);
const check = (is, what) => { if (!is) throw new Error(what); };

function watch(page, name) {
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  // Browsers ask for an icon that nobody promised.
  const isIcon = (line) => line.location().url.endsWith("/favicon.ico");
  page.on("console", (line) => line.type() === "error" && !isIcon(line) && complaints.push(`${name}: ${line.text()}`));
  // No packet of the server holds a key, whosever it is (conformance check 5).
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
    if (keys.some((key) => String(payload).includes(key))) complaints.push(`${name} was sent a key: ${payload}`);
  }));
}

/** The old page of somebody, open on another; `rows` are its history. */
async function open(name, opponent, rows = "") {
  const context = await browser.newContext();
  const page = await context.newPage();
  watch(page, `${name} on ${opponent}`);
  const links = Object.keys(people).filter((other) => other !== name)
    .map((other) => `<a id="user-${other}" class="btn btn-danger">${other}</a>`).join("");
  const body = template.replace("{{owner}}", name).replace("{{list}}", links).replace("{{messages}}", rows)
    .replace("{{base}}", base).replace("{{opponent}}", opponent).replaceAll("{{key}}", people[name].key);
  await page.route("http://old.example/**", (route) => route.fulfill({ contentType: "text/html", body }));
  await page.goto(`http://old.example/dialogs/${opponent}`);
  return page;
}

const seen = (page, id) => page.locator(id).waitFor({ state: "visible" });
const text = (page, words) => page.locator("#messages .row", { hasText: words });
async function write(page, words) {
  await page.locator("#chat-message").fill(words);
  await page.locator("#btn-send-message").click();
}
async function count(page, words, wanted) {
  await page.waitForTimeout(300);
  const found = await text(page, words).count();
  check(found === wanted, `"${words}" is shown ${found} times, not ${wanted}`);
}

try {
  say("ann opens her page on bob, who is not there");
  const ann = await open("ann", "bob");
  await seen(ann, "#offline-status");
  say("bob opens his on ann: both headers are online, and the link is green");
  const bob = await open("bob", "ann");
  await seen(bob, "#online-status");
  await seen(ann, "#online-status");
  await bob.locator("#user-ann.btn-success").waitFor();
  await ann.locator("#user-bob.btn-success").waitFor();

  say("a message both ways, one's own shown once, and read when it was in view");
  await write(ann, "hello bob");
  await text(bob, "hello bob").waitFor();
  await ann.locator("#messages .row.msg-read", { hasText: "hello bob" }).waitFor();
  await count(ann, "hello bob", 1);
  await write(bob, "hello ann");
  await text(ann, "hello ann").waitFor();
  await bob.locator("#messages .row.msg-read", { hasText: "hello ann" }).waitFor();
  await count(bob, "hello ann", 1);

  say("typing is shown, and fades");
  await bob.locator("#chat-message").pressSequentially("hm", { delay: 30 });
  await seen(ann, "#typing-text");
  await ann.locator("#typing-text").waitFor({ state: "hidden" });
  await bob.locator("#chat-message").fill("");

  say("a third user flashes a link and shows nothing, and never turns the header");
  const carol = await open("carol", "ann");
  await seen(carol, "#online-status");
  await write(carol, "lunch?");
  await ann.locator("#user-carol[data-flashes]").waitFor();
  await count(ann, "lunch?", 0);
  // They have a dialog now, so ann hears of carol who comes once more.
  const again = await open("carol", "ann");
  await seen(again, "#online-status");
  await ann.locator("#user-carol.btn-success").waitFor();
  check(await ann.locator("#online-status").isVisible(), "the header went offline");

  say("two tabs on one dialog, and one on another");
  const second = await open("ann", "bob");
  const onCarol = await open("ann", "carol");
  await seen(second, "#online-status");
  await seen(onCarol, "#online-status");
  await write(second, "from my second tab");
  for (const page of [ann, second, bob]) await text(page, "from my second tab").waitFor();
  await write(onCarol, "only for carol");
  await text(onCarol, "only for carol").waitFor();
  await text(carol, "only for carol").waitFor();
  for (const page of [ann, second]) await count(page, "only for carol", 0);
  await count(onCarol, "from my second tab", 0);

  say("nothing runs that stands in a message");
  const attack = "<img src=x onerror=\"document.title='run'\"> & <b>bold</b>";
  await write(ann, attack);
  await text(bob, attack).waitFor();
  check((await bob.title()) !== "run" && (await bob.locator("#messages b", { hasText: "bold" }).count()) === 0, "it ran");

  say("closing one tab leaves ann online; the last one does not");
  await second.close({ runBeforeUnload: true });
  await onCarol.close({ runBeforeUnload: true });
  await bob.waitForTimeout(500);
  check(await bob.locator("#online-status").isVisible(), "ann looks offline while a tab is open");
  await ann.close({ runBeforeUnload: true });
  await seen(bob, "#offline-status");
  await bob.locator("#user-ann.btn-danger").waitFor();

  say("unread messages of the history are reported as they scroll into view");
  await write(bob, "while you were away");
  await text(bob, "while you were away").waitFor();
  const id = await text(bob, "while you were away").getAttribute("data-id");
  const filler = Array.from({ length: 20 }, () => '<div class="row msg-read">…</div>').join("");
  const back = await open("ann", "bob", `${filler}<div class="row msg-unread opponent" data-id="${id}">while you were away</div>`);
  await seen(back, "#online-status");
  await bob.waitForTimeout(500);
  check(await text(bob, "while you were away").evaluate((row) => row.classList.contains("msg-unread")), "read unseen");
  await back.locator("#messages").evaluate((messages) => { messages.scrollTop = 1e9; });
  await bob.locator("#messages .row.msg-read", { hasText: "while you were away" }).waitFor();
  await back.close({ runBeforeUnload: true });

  say("the server's own page at /dialogs/");
  const context = await browser.newContext();
  await context.addCookies([{ name: "sessionid", value: people.ann.cookie, url }]);
  const own = await context.newPage();
  watch(own, "ann's own page");
  await own.goto(`${url}/dialogs/bob`);
  await seen(own, "#online-status");
  await text(own, "while you were away").waitFor();
  await text(own, attack).waitFor();
  await own.locator("#chat-message").pressSequentially("from the new page", { delay: 20 });
  await seen(bob, "#typing-text");
  await own.locator("#chat-message").press("Enter");
  await text(bob, "from the new page").waitFor();
  await own.locator("#messages .row.msg-read", { hasText: "from the new page" }).waitFor();
  await write(bob, "<i>and back</i>");
  await text(own, "<i>and back</i>").waitFor();
  await write(carol, "psst");
  await own.locator("#user-carol.flash").waitFor();
  await own.goto(`${url}/healthz`);
  await seen(bob, "#offline-status");

  check(complaints.length === 0, complaints.join("\n"));
  console.log("ok: the pages of private-chat work");
} catch (error) {
  console.error(`failed at: ${step}\n${error.stack}\n${complaints.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
