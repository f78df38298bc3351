// Two pages meet in a room through the server's own TURN, see and hear each other and talk over a data channel, in a real browser.
//
// Usage: node calls.mjs URL CONVERSATION TOKEN TOKEN. Exit status 0 means that every way works.
// CHROMIUM names the browser, if it is not /usr/bin/chromium.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, conversation, ...tokens] = process.argv.slice(2);
if (tokens.length !== 2) {
  console.error("usage: node calls.mjs URL CONVERSATION TOKEN TOKEN");
  process.exit(2);
}
const guide = readFileSync(new URL("../../docs/calls.md", import.meta.url), "utf8");
const client = guide.split("<!-- tested: tests/browser/calls.mjs -->\n```js\n")[1].split("\n```")[0];
if (client.split("\n").length > 45) throw new Error("the client of the guide has grown");
const library = new URL("node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url).pathname;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // A certificate that was made for the test is known to nobody.
  args: ["--ignore-certificate-errors", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
});

/** A page of the server with the guide's client, which has said who it is. */
async function open(token) {
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  page.on("pageerror", (error) => console.error(`the page complained: ${error}`));
  await page.goto(`${url}/healthz`);
  await page.addScriptTag({ path: library });
  await page.addScriptTag({ content: `${client}\nglobalThis.meet = meet;` });
  await page.evaluate(async (token) => {
    globalThis.socket = io({ transports: ["websocket"] });
    const answer = await socket.emitWithAck("authenticate", { token });
    if (!answer.success) throw new Error(answer.message);
  }, token);
  return page;
}

/** Meets over one way to the relay with a camera and a microphone, says hello, and notes what comes of it. */
const meet = (page, { where, way, port, greets }) =>
  page.evaluate(
    async ({ where, way, port, greets }) => {
      // Only this way to the relay, so that no other can hide that it does not work.
      const emit = socket.emitWithAck.bind(socket);
      socket.emitWithAck = async (event, argument) => {
        const answer = await emit(event, argument);
        for (const server of answer.ice_servers ?? []) {
          const scheme = way === "tls" ? "turns:" : "turn:";
          server.urls = server.urls.filter((url) => url.startsWith(scheme) && url.endsWith(`transport=${way === "udp" ? "udp" : "tcp"}`));
          if (port) server.urls = server.urls.map((url) => url.replace(/:\d+\?/, `:${port}?`));
        }
        if (answer.ice_servers) answer.ice_servers = answer.ice_servers.filter((server) => server.urls.length);
        return answer;
      };
      const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240, frameRate: 10 } });
      globalThis.seen = [];
      globalThis.heard = new Promise((resolve) => {
        const listen = (channel) => {
          channel.onopen = () => channel.send(`hello from ${greets}`);
          channel.onmessage = ({ data }) => resolve(data);
        };
        const onPeer = (peer) => {
          const { pc } = peer;
          globalThis.connection = pc;
          const begun = performance.now();
          const note = (what) => seen.push(`${Math.round(performance.now() - begun)} ${what}`);
          pc.addEventListener("signalingstatechange", () => note(pc.signalingState));
          pc.addEventListener("icegatheringstatechange", () => note(`gathering ${pc.iceGatheringState}`));
          pc.addEventListener("iceconnectionstatechange", () => note(`ice ${pc.iceConnectionState}`));
          pc.addEventListener("connectionstatechange", () => note(`connection ${pc.connectionState}`));
          pc.addEventListener("icecandidate", ({ candidate }) => note(`own ${candidate?.candidate}`));
          pc.addEventListener("icecandidateerror", ({ errorCode, errorText }) => note(`${errorCode} ${errorText}`));
          for (const track of camera.getTracks()) pc.addTrack(track, camera);
          if (peer.polite) listen(pc.createDataChannel("talk"));
          pc.ondatachannel = ({ channel }) => {
            listen(channel);
            if (channel.readyState === "open") channel.onopen();
          };
        };
        globalThis.room = meet(socket, where, onPeer, "relay");
      });
      await room;
    },
    { where, way, port, greets },
  );

/** What a page has heard and seen of the other, once it is everything. */
const told = (page) =>
  page.evaluate(async () => {
    const text = await heard;
    for (;;) {
      const stats = [...(await connection.getStats()).values()];
      const pair = stats.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
      const inbound = (kind) => stats.find((one) => one.type === "inbound-rtp" && one.kind === kind);
      // Statistics follow what happens a moment later.
      if (pair && inbound("video")?.framesDecoded > 0 && inbound("audio")?.packetsReceived > 0) {
        const candidate = (id) => stats.find((one) => one.id === id);
        const [local, remote] = [candidate(pair.localCandidateId), candidate(pair.remoteCandidateId)];
        return { text, local: local.candidateType, remote: remote.candidateType, protocol: local.relayProtocol };
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

/** What a page saw until now, for who has to find out why a call did not work. */
const history = (page) =>
  page.evaluate(async () => {
    const wanted = ["candidate-pair", "local-candidate", "remote-candidate", "transport", "inbound-rtp", "data-channel"];
    const stats = globalThis.connection ? [...(await connection.getStats()).values()] : [];
    return JSON.stringify({ seen: globalThis.seen, stats: stats.filter(({ type }) => wanted.includes(type)) });
  });

async function together(name, ways, where) {
  const pages = await Promise.all(tokens.map(open));
  for (const [index, page] of pages.entries()) await meet(page, { ...ways[index], where, greets: `page ${index}` });
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("not everything came through")), 60_000));
  const all = await Promise.race([Promise.all(pages.map(told)), late]).catch(async (error) => {
    for (const page of pages) console.error(await history(page));
    throw new Error(`${name}: ${error.message}`);
  });
  for (const [index, saw] of all.entries()) {
    const expected = { text: `hello from page ${1 - index}`, local: "relay", remote: "relay", protocol: ways[index].way };
    if (JSON.stringify(saw) !== JSON.stringify(expected)) throw new Error(`${name}: ${JSON.stringify(saw)}`);
  }
  await Promise.all(pages.map((page) => page.evaluate(async () => (await room).leave())));
  await Promise.all(pages.map((page) => page.context().close()));
  console.log(`- ${name}`);
}

/** A page that is closed in the middle of a call gives back what it held of the relay: its account can have all that it may hold. */
async function closed(name, where, most) {
  const pages = await Promise.all(tokens.map(open));
  for (const [index, page] of pages.entries()) await meet(page, { way: "udp", where, greets: `page ${index}` });
  await Promise.all(pages.map(told));
  // As when somebody goes elsewhere, or closes the tab.
  await Promise.all(pages.map((page) => page.goto("about:blank")));
  const page = await open(tokens[0]);
  const had = await page.evaluate(async (most) => {
    const { iceServers } = await socket.emitWithAck("webrtc_ice_servers", {});
    const turn = iceServers.find((server) => server.credential);
    turn.urls = turn.urls.filter((url) => url.endsWith("udp"));
    const begun = performance.now();
    for (;;) {
      const all = Array.from({ length: most }, () => new RTCPeerConnection({ iceServers: [turn], iceTransportPolicy: "relay" }));
      const relays = await Promise.all(
        all.map(async (pc) => {
          pc.createDataChannel("talk");
          await pc.setLocalDescription();
          while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 50));
          return pc.localDescription.sdp.split("typ relay").length - 1;
        }),
      );
      const had = relays.reduce((sum, one) => sum + one, 0);
      for (const pc of all) pc.close();
      // What is given back takes a moment; what is silent for half a minute would give way anyhow.
      if (had >= most || performance.now() - begun > 20_000) return had;
    }
  }, most);
  if (had < most) throw new Error(`${name}: ${had} of ${most} could be had`);
  for (const one of [page, ...pages]) await one.context().close();
  console.log(`- ${name}`);
}

/** What the browser says of credentials that are no good. */
async function refused(name, change) {
  const page = await open(tokens[0]);
  const told = await page.evaluate(async (change) => {
    const { iceServers } = await socket.emitWithAck("webrtc_ice_servers", {});
    const turn = iceServers.find((server) => server.credential);
    turn.urls = turn.urls.filter((url) => url.endsWith("udp"));
    if (change === "forged") turn.credential = btoa("twenty bytes of this");
    if (change === "expired") turn.username = turn.username.replace(/^\d+/, "1500000000");
    const pc = new RTCPeerConnection({ iceServers: [turn], iceTransportPolicy: "relay" });
    const errors = [];
    const candidates = [];
    pc.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
    pc.onicecandidate = ({ candidate }) => candidate?.candidate && candidates.push(candidate.candidate);
    pc.createDataChannel("talk");
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 50));
    return { errors: [...new Set(errors)], candidates };
  }, change);
  await page.context().close();
  if (JSON.stringify(told) !== JSON.stringify({ errors: [401], candidates: [] })) throw new Error(`${name}: ${JSON.stringify(told)}`);
  console.log(`- ${name}`);
}

/** The page that says what works. */
async function doctor(expected) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${url}/doctor`);
  await page.locator("input").fill(tokens[0]);
  await page.getByRole("button", { name: "Look" }).click();
  await page.locator("body[data-done]").waitFor({ timeout: 60_000 });
  const told = await page.locator("#findings li").evaluateAll((lines) => lines.map((line) => [line.dataset.part, line.dataset.works, line.textContent]));
  const works = told.filter(([, works]) => works === "true").map(([part]) => part);
  if (works.join() !== expected) throw new Error(`the doctor says ${JSON.stringify(told)}`);
  await page.context().close();
  console.log("- the page /doctor finds that everything works");
}

try {
  const where = { conversation_id: Number(conversation) };
  const [udp, tcp, tls] = [{ way: "udp" }, { way: "tcp" }, { way: "tls" }];
  if (url.startsWith("https:")) {
    await together("sound, picture and data by TLS over the HTTP port", [tls, tls], where);
    await together("sound, picture and data, one side by TLS, the other over UDP", [tls, udp], where);
    await doctor("polling,websocket,token,stun,turn_udp,turn_tcp,turn_tls");
  } else {
    await closed("pages that are closed give back what they hold", where, 12);
    await together("sound, picture and data over UDP", [udp, udp], where);
    await together("sound, picture and data over TCP", [tcp, tcp], where);
    await together("sound, picture and data, one side over UDP, the other over TCP", [udp, tcp], where);
    const http = { way: "tcp", port: new URL(url).port };
    await together("sound, picture and data over the HTTP port", [http, http], where);
    await doctor("polling,websocket,token,stun,turn_udp,turn_tcp");
    await refused("forged credentials are refused with 401", "forged");
    await refused("expired credentials are refused with 401", "expired");
  }
  console.log("ok: pages reach each other through the relay");
} catch (error) {
  console.error(`failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
