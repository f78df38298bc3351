#!/usr/bin/env bash
# node-datachannel's RTCPeerConnection cuts a TURN user name at its colon.
#
# The user names of TURN's REST credentials, which most services hand out, are `expiry:name`. The polyfill writes
# `username` and `credential` as they are into an address (`turn:username:credential@host`), so what stands behind
# the colon becomes the password, and the server is asked by a name it never gave: every allocation is refused with 401.
# Whoever uses it has to put both through encodeURIComponent, which other implementations of RTCPeerConnection must
# not be given.
#
# Seen with node-datachannel 0.33.4 on Linux (x64), against a server of a few lines that asks for credentials and
# prints the name it is then told.
# Ends with 0 if that is still so, with 1 if the name arrives whole.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node-datachannel@0.33.4
cat >run.mjs <<'JS'
import { createSocket } from "node:dgram";
import { RTCPeerConnection } from "node-datachannel/polyfill";

const USERNAME = 0x0006;
const attribute = (type, value) => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]);
};

/** The attribute of a STUN message, if it is there. */
function read(message, wanted) {
  for (let at = 20; at + 4 <= message.length; ) {
    const [type, length] = [message.readUInt16BE(at), message.readUInt16BE(at + 2)];
    if (type === wanted) return message.subarray(at + 4, at + 4 + length).toString();
    at += 4 + length + (-length & 3);
  }
}

/** The first name that a TURN client shows when it is asked for credentials. */
function nameOf(username) {
  return new Promise((resolve) => {
    const server = createSocket("udp4");
    server.on("message", (message, peer) => {
      const name = read(message, USERNAME);
      if (name !== undefined) {
        pc.close();
        server.close();
        return resolve(name);
      }
      // 401, with a realm and a nonce, to an Allocate.
      const attributes = Buffer.concat([attribute(0x0009, Buffer.from([0, 0, 4, 1])), attribute(0x0014, Buffer.from("realm")), attribute(0x0015, Buffer.from("nonce"))]);
      const head = Buffer.from(message.subarray(0, 20));
      head.writeUInt16BE(0x0113, 0);
      head.writeUInt16BE(attributes.length, 2);
      server.send(Buffer.concat([head, attributes]), peer.port, peer.address);
    });
    let pc;
    server.bind(0, "127.0.0.1", async () => {
      const urls = `turn:127.0.0.1:${server.address().port}?transport=udp`;
      pc = new RTCPeerConnection({ iceServers: [{ urls, username, credential: "secret" }] });
      pc.createDataChannel("talk");
      await pc.setLocalDescription(await pc.createOffer());
    });
  });
}

const name = "1767225600:ann";
const plain = await nameOf(name);
const encoded = await nameOf(encodeURIComponent(name));
console.log(`as it is: ${plain}; put through encodeURIComponent: ${encoded}`);
process.exit(plain !== name && encoded === name ? 0 : 1);
JS
timeout 60 node run.mjs
