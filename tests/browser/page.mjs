// Two people register, make a circle, talk, see each other typing, online, and a picture: in a real browser.
//
// Usage: node page.mjs URL [FOLDER FOR SCREENSHOTS]. Exit status 0 means that all of it was seen.
// CHROMIUM names the browser, if it is not /usr/bin/chromium.
import { chromium } from "playwright-core";

const [url, screenshots] = process.argv.slice(2);
if (!url) {
  console.error("usage: node page.mjs URL [FOLDER FOR SCREENSHOTS]");
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const complaints = [];
let step = "start";

/** Says what is about to happen, so that a failure names its place. */
const say = (what) => console.log(`- ${(step = what)}`);

async function window(name) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 640 }, locale: "en-GB", colorScheme: name === "Bob" ? "dark" : "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
  // A refusal of the content security policy arrives here as well.
  page.on("console", (line) => line.type() === "error" && complaints.push(`${name}: ${line.text()}`));
  await page.goto(url);
  return page;
}

async function register(page, first, last) {
  const email = `${first.toLowerCase()}.${Date.now()}@example.org`;
  await page.getByText("Register", { exact: true }).first().click();
  await page.getByLabel("First name").fill(first);
  await page.getByLabel("Last name").fill(last);
  await page.getByLabel("Birthday").fill("1990-12-25");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Register" }).click();
  await page.locator("#me", { hasText: `${first} ${last}` }).waitFor();
  return email;
}

const message = (page, text) => page.locator("#log .message:not(.waiting)", { hasText: text });
const online = (page, name) => page.locator("#places .row", { hasText: name }).locator(".dot.on");

/** A picture that the browser paints: a cup at sunrise, 320 by 180. */
async function paint(page) {
  const address = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
    const brush = canvas.getContext("2d");
    const sky = brush.createLinearGradient(0, 0, 0, 180);
    sky.addColorStop(0, "#f6ad55");
    sky.addColorStop(1, "#fefcbf");
    brush.fillStyle = sky;
    brush.fillRect(0, 0, 320, 180);
    brush.fillStyle = "#7c2d12";
    brush.fillRect(110, 70, 90, 70);
    brush.beginPath();
    brush.ellipse(155, 140, 75, 12, 0, 0, 7);
    brush.fill();
    brush.lineWidth = 10;
    brush.strokeStyle = "#7c2d12";
    brush.beginPath();
    brush.arc(203, 100, 20, -1.5, 1.5);
    brush.stroke();
    return canvas.toDataURL("image/png");
  });
  return Buffer.from(address.slice(address.indexOf(",") + 1), "base64");
}

async function together() {
  const [ann, bob] = [await window("Ann"), await window("Bob")];

  say("Ann and Bob register");
  await register(ann, "Ann", "Lee");
  const bobsEmail = await register(bob, "Bob", "Ray");

  say("Ann makes a circle and invites Bob by e-mail");
  await ann.getByLabel("Name of a new circle").fill("Family");
  await ann.getByRole("button", { name: "Create" }).click();
  await ann.getByText("Invite someone").click();
  await ann.getByLabel("E-mail of the person to invite").fill(bobsEmail);
  await ann.getByRole("button", { name: "Invite" }).click();

  say("Bob accepts, and Ann sees him come");
  await bob.getByText("You are invited to “Family”.").waitFor();
  await bob.getByRole("button", { name: "Join" }).click();
  await ann.locator("#places .row", { hasText: "Bob Ray" }).click();

  say("Ann opens a conversation with her first message");
  await ann.getByLabel("Message", { exact: true }).fill("Shall we have coffee?");
  await ann.getByRole("button", { name: "Send", exact: true }).click();
  await message(ann, "Shall we have coffee?").waitFor();
  await bob.locator("#places .row", { hasText: "Ann & Bob" }).click();
  await message(bob, "Shall we have coffee?").waitFor();

  say("Ann sees Bob typing, then what he wrote");
  await bob.getByLabel("Message", { exact: true }).pressSequentially("With cake ☕");
  await ann.getByText("Bob Ray is typing …").waitFor();
  await bob.getByLabel("Message", { exact: true }).press("Enter");
  await message(ann, "With cake ☕").waitFor();
  await ann.locator("#typing:empty").waitFor({ state: "attached" });
  await message(bob, "With cake ☕").waitFor();

  say("Ann sends a picture, and Bob sees it");
  await ann.locator("#files").setInputFiles({ name: "cake.png", mimeType: "image/png", buffer: await paint(ann) });
  for (const page of [ann, bob]) {
    const picture = page.getByAltText("cake.png");
    await picture.waitFor();
    await page.waitForFunction((image) => image.complete && image.naturalWidth === 320, await picture.elementHandle());
  }
  await ann.getByText("Seen by Bob Ray").waitFor();

  if (screenshots) {
    await ann.locator("#notice").waitFor({ state: "hidden" });
    await ann.screenshot({ path: `${screenshots}/light.png` });
    await bob.screenshot({ path: `${screenshots}/dark.png` });
  }

  say("markup is text");
  await ann.getByLabel("Message", { exact: true }).fill("<img src=x onerror=alert(1)>");
  await ann.getByRole("button", { name: "Send", exact: true }).click();
  await message(bob, "<img src=x onerror=alert(1)>").waitFor();

  say("each sees the other online");
  await online(ann, "Bob Ray").waitFor();
  await online(bob, "Ann Lee").waitFor();

  say("a lost connection loses nothing and repeats nothing");
  await bob.context().setOffline(true);
  await bob.locator("#state", { hasText: "Connecting" }).waitFor();
  await bob.getByLabel("Message", { exact: true }).fill("Written in a tunnel");
  await bob.getByLabel("Message", { exact: true }).press("Enter");
  await bob.locator("#log .waiting", { hasText: "Written in a tunnel" }).waitFor();
  await ann.getByLabel("Message", { exact: true }).fill("Said meanwhile");
  await ann.getByRole("button", { name: "Send", exact: true }).click();
  await message(ann, "Said meanwhile").waitFor();
  await bob.context().setOffline(false);
  for (const page of [ann, bob]) {
    for (const text of ["Said meanwhile", "Written in a tunnel"]) await message(page, text).waitFor();
    const texts = await page.locator("#log .message p").allTextContents();
    if (texts.slice(-2).join() !== "Said meanwhile,Written in a tunnel") throw new Error(`the end of the log is ${texts.slice(-3)}`);
  }
  // What the browser says of the lost connection is no complaint of the page.
  complaints.splice(0, complaints.length, ...complaints.filter((line) => !line.includes("ERR_INTERNET_DISCONNECTED")));

  say("Ann sees Bob go offline, and what he misses reaches him when he is back");
  const token = await bob.evaluate(() => sessionStorage.getItem("klatsch.token"));
  await bob.goto("about:blank");
  await online(ann, "Bob Ray").waitFor({ state: "detached" });
  await ann.getByLabel("Message", { exact: true }).fill("Are you still there?");
  await ann.getByRole("button", { name: "Send", exact: true }).click();
  await message(ann, "Are you still there?").waitFor();
  await bob.goto(url);
  await bob.evaluate((token) => sessionStorage.setItem("klatsch.token", token), token);
  await bob.reload();
  await bob.locator("#places .row", { hasText: "Ann & Bob" }).click();
  await message(bob, "Are you still there?").waitFor();
  await online(ann, "Bob Ray").waitFor();

  say("Bob logs out");
  await bob.getByRole("button", { name: "Log out" }).click();
  await bob.getByRole("button", { name: "Log in" }).waitFor();
}

try {
  await together();
  if (complaints.length) throw new Error(`the page complained:\n${complaints.join("\n")}`);
  console.log("ok: the page works for two people");
} catch (error) {
  console.error(`failed at "${step}": ${error.message}`);
  if (complaints.length) console.error(`the page complained:\n${complaints.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
