#!/usr/bin/env bash
# werift takes neither a list of addresses in one entry of `iceServers` nor more than one TURN server.
#
# `urls` may be a list by the W3C's specification, and services hand out lists (UDP, TCP and TLS of one relay).
# werift 0.23.0 wants a single text there, and of several entries it asks the first TURN server alone.
#
# Seen with werift 0.23.0 on Node 18 and later: which of two servers that never answer are asked.
# Ends with 0 if that is still so, with 1 if it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund werift@0.23.0
cat >run.mjs <<'JS'
import { createSocket } from "node:dgram";
import { RTCPeerConnection } from "werift";

/** How often each of two servers is asked. */
async function asked(iceServersOf) {
  const counts = [0, 0];
  const servers = await Promise.all(
    counts.map((_, index) => new Promise((resolve) => {
      const server = createSocket("udp4", () => counts[index]++);
      server.bind(0, "127.0.0.1", () => resolve(server));
    })),
  );
  const urls = servers.map((server) => `turn:127.0.0.1:${server.address().port}?transport=udp`);
  let told = "no error";
  try {
    const pc = new RTCPeerConnection({ iceServers: iceServersOf(urls) });
    pc.createDataChannel("talk");
    await Promise.race([
      pc.createOffer().then((offer) => pc.setLocalDescription(offer)),
      new Promise((resolve) => setTimeout(resolve, 5000)),
    ]);
  } catch (error) {
    told = error.constructor.name;
  }
  servers.forEach((server) => server.close());
  return [counts.map((count) => count > 0).join(","), told];
}
process.on("unhandledRejection", (error) => console.log(`unhandled: ${error.constructor.name}`));

const credentials = { username: "ann", credential: "secret" };
const list = await asked((urls) => [{ urls, ...credentials }]);
const entries = await asked((urls) => urls.map((url) => ({ urls: url, ...credentials })));
console.log(`a list in one entry: asked ${list[0]} (${list[1]}); an entry each: asked ${entries[0]} (${entries[1]})`);
process.exit(list[0] === "false,false" && entries[0] === "true,false" ? 0 : 1);
JS
timeout 60 node run.mjs
