#!/usr/bin/env bash
# socket.io-client sends what it buffered while it was offline before the application's `connect` listeners run.
#
# One would guess that a listener on `connect` which emits `authenticate` comes first, for it is the first thing that
# the application does on the new connection. Clients of 4.x (and 2.x) empty their buffer while they carry out the
# server's CONNECT packet, listeners come behind that, so a server sees the buffered events of an unknown connection.
# Whoever needs to be known before them has to use the handshake: `auth` in 3.x and 4.x, the query in 2.x.
#
# Seen with socket.io and socket.io-client 4.8.1 and socket.io-client 2.5.0, on Node 18 and later.
# Ends with 0 if that is still so, with 1 if the order has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.1 client4@npm:socket.io-client@4.8.1 client2@npm:socket.io-client@2.5.0
cat >run.js <<'JS'
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const server = new Server(http, { allowEIO3: true });

/** What the server hears of a client that emits before it is connected, and again in its `connect` listener. */
function heard(name, port) {
  return new Promise((resolve) => {
    const events = [];
    server.once("connection", (socket) => {
      socket.onAny((event) => {
        events.push(event);
        if (events.length === 2) {
          client.close();
          resolve(events.join(", "));
        }
      });
    });
    const client = require(name)(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true });
    client.on("connect", () => client.emit("authenticate"));
    client.emit("message");
  });
}

http.listen(0, "127.0.0.1", async () => {
  let same = true;
  for (const name of ["client4", "client2"]) {
    const order = await heard(name, http.address().port);
    console.log(`${require(`${name}/package.json`).version}: ${order}`);
    same &&= order === "message, authenticate";
  }
  process.exit(same ? 0 : 1);
});
JS
timeout 60 node run.js
