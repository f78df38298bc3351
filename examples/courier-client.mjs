// A small courier client: says who it is, shows what waits and what comes, and marks it as seen.
//
//   node courier-client.mjs ws://localhost:3128 TOKEN_OR_USER_ID [OTHER_USER_ID WORDS...]
//
// With another user's number and some words it sends these as a personal message and goes on listening.
import WebSocket from "ws";

const [address, identity, other, ...words] = process.argv.slice(2);
if (!identity) {
  console.error("usage: courier-client.mjs ADDRESS TOKEN_OR_USER_ID [OTHER_USER_ID WORDS...]");
  process.exit(2);
}

const socket = new WebSocket(address);
const send = (frame) => socket.send(JSON.stringify(frame));
const shown = new Set();

socket.on("open", () => socket.send(identity));

socket.on("message", (data) => {
  const text = data.toString();
  // The greeting is the only text that is not JSON.
  if (text.startsWith("user id ")) {
    console.log(text);
    if (other) send({ conv_id: "first", member: [Number(other)], type: "init_personal" });
    return;
  }
  const frame = JSON.parse(text);
  if (frame.type === "error") {
    console.log(`refused: ${frame.code}: ${frame.error}`);
  } else if (frame.local_conv_id !== undefined) {
    console.log(`conversation ${frame.db_conv_id}`);
    // The reference makes it safe to send the same words again after a broken connection.
    const client_ref = `first-words-${Date.now()}`;
    send({ msg: words.join(" "), conv_id: frame.db_conv_id, type: frame.type, client_ref });
  } else if (frame.msg === undefined) {
    console.log(`stored as ${frame.message_id}`);
  } else if (!shown.has(frame.message_id)) {
    // What was not confirmed before comes again with the same number.
    shown.add(frame.message_id);
    console.log(`${frame.sender}: ${frame.msg}`);
    send({ message_id: [frame.message_id], type: "seen" });
  }
});

socket.on("close", (code, reason) => {
  console.log(`closed: ${code} ${reason}`);
  process.exit(code === 1000 ? 0 : 1);
});
socket.on("error", (error) => console.error(String(error)));
