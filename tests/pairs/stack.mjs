// A stack in a process of its own, told by lines of JSON what to do: node stack.mjs PACKAGE.
import { createInterface } from "node:readline";
import { peers } from "./peer.mjs";

/** Writes names and passwords into addresses as they are, so that a colon in a name parts it. */
const encoded = (RTCPeerConnection) =>
  class extends RTCPeerConnection {
    constructor({ iceServers, ...others }) {
      const encode = ({ urls, username, credential }) => ({ urls, username: encodeURIComponent(username), credential: encodeURIComponent(credential) });
      super({ iceServers: iceServers.map(encode), ...others });
    }
  };

const load = {
  "node-datachannel": async () => encoded((await import("node-datachannel/polyfill")).RTCPeerConnection),
  "@roamhq/wrtc": async () => (await import("@roamhq/wrtc")).default.RTCPeerConnection,
  werift: async () => (await import("werift")).RTCPeerConnection,
};
const sides = peers(await load[process.argv[2]]());
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, args } = JSON.parse(line);
  const done = (async () => sides[call](...args))();
  done.then(
    (result) => tell({ id, result: result ?? null }),
    (error) => tell({ id, error: String(error) }),
  );
}
process.exit(0);
