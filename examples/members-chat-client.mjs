// A member who says something (and sends a file), and prints what the chat says.
// Usage: node members-chat-client.mjs SERVER EMAIL PASSWORD OTHER_MEMBER_ID WORDS [FILE]
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import WebSocket from "ws"; // browsers, and Node from 22 on, have one of their own

const [server, email, password, other, words, file] = process.argv.slice(2);
const answer = await fetch(`${server}/auth/login`, { method: "POST", body: JSON.stringify({ email, password }) });
const { access_token, detail } = await answer.json();
if (!access_token) throw new Error(detail);

const socket = new WebSocket(`${server.replace("http", "ws")}/members/chat/?other_member_id=${other}`);
socket.onopen = () => socket.send(`Bearer ${access_token}`);
socket.onclose = ({ code, reason }) => console.log(`closed: ${code} ${reason}`);

const show = (message) => {
  if (message.type === "error") console.log(`! ${message.error}`);
  else if (message.type === "smile") console.log(`${message.member_id}: ${server}/storage?uuid=${message.smile_file_uuid}`);
  else if (message.type === "file") console.log(`${message.member_id}: ${message.text} ${server}/storage?uuid=${message.file_uuid}`);
  else console.log(`${message.member_id}: ${message.text}`);
};

socket.onmessage = (history) => {
  JSON.parse(history.data).forEach(show);
  socket.onmessage = (one) => show(JSON.parse(one.data));
  // Under the same reference a message is stored and paid for once, however often it is sent.
  socket.send(JSON.stringify({ type: "text", text: words, client_ref: crypto.randomUUID() }));
  if (!file) return;
  const bytes = readFileSync(file);
  const head = JSON.stringify({ name: basename(file), size: bytes.length, text: "" });
  socket.send(Buffer.concat([Buffer.from(`!${head}#`), bytes]));
};
