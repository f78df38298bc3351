// The same words, read in every dialect. Usage: node rosetta.mjs SERVER [TOKEN-OF-ANN TOKEN-OF-BOB]
// Ann says them over Socket.IO to Bob alone and in a group of the two; Bob reads them in three dialects of
// two people and in two of groups. Messages and group are taken back at the end.
import { io } from "socket.io-client";
import WebSocket from "ws";

const [server, ...tokens] = process.argv.slice(2);
const sockets = server.replace(/^http/, "ws");

async function post(path, body) {
  const answer = await fetch(server + path, { method: "POST", body: JSON.stringify(body) });
  return answer.json();
}

async function person(name, token) {
  if (!token) token = await register(name);
  const { content } = await post("/user/info", { token });
  return { id: content.id, email: content.email, username: content.email.split("@")[0].replace(/[^a-z0-9_-]/gi, "_"), token };
}

async function register(name) {
  const email = `${name}-${Date.now()}@example.org`;
  const account = { email, password: "secret", first_name: name, last_name: "Lee", birthday: "1990-12-25" };
  await post("/account/create", account);
  return (await post("/account/login", { email, password: "secret" })).token;
}

/** A raw WebSocket: sends its first words, and prints what it reads from then on. */
function listen(dialect, path, firstWords, isMessage) {
  return new Promise((ready) => {
    const socket = new WebSocket(sockets + path);
    socket.on("open", () => firstWords.forEach((words) => socket.send(words)));
    socket.on("message", (data) => {
      const text = data.toString();
      if (isMessage(text)) console.log(`${dialect}: ${text}`);
      else ready(socket);
    });
  });
}

const [ann, bob] = [await person("ann", tokens[0]), await person("bob", tokens[1])];

// Courier numbers a pair and a group; the other dialects find both.
const letters = new WebSocket(`${sockets}/courier?token=${ann.token}`);
const answers = [];
letters.on("message", (data) => answers.push(data.toString()));
await new Promise((open) => letters.on("open", open));
letters.send(String(ann.id));
letters.send(JSON.stringify({ type: "init_personal", conv_id: 1, member: [ann.id, bob.id] }));
letters.send(JSON.stringify({ type: "init_group", conv_id: 2, member: [ann.id, bob.id], group_name: "Tea" }));
while (answers.length < 3) await new Promise((soon) => setTimeout(soon, 20));
const [pair, group] = answers.slice(1).map((answer) => JSON.parse(answer).db_conv_id);

let heard = 0;
const has = (text) => text.includes("Coffee?") && ++heard;
const listeners = await Promise.all([
  listen("private-chat", `/private-chat/${bob.token}/${ann.username}`, ['{"type":"check-online"}'], has),
  listen("members-chat", `/members/chat/?other_member_id=${ann.id}`, [`Bearer ${bob.token}`], has),
  listen("multichat", `/chat/stream/?token=${bob.token}`, [JSON.stringify({ command: "join", room: group })], has),
  listen("courier", `/courier?token=${bob.token}`, [String(bob.id)], has),
]);

const socket = io(server);
const posted = [];
socket.on("message", (message) => {
  if (!message.message) return;
  console.log(`neo: ${JSON.stringify(message)}`);
  posted.push(message.message.id);
});
socket.on("error", (why) => console.error(why));
socket.emit("authenticate", { token: ann.token });
for (const conversation_id of [pair, group]) {
  socket.emit("join_conversation", { conversation_id });
  socket.emit("message", { conversation_id, text_message: "Coffee?" });
}

// Courier reads both messages, the other three one each; 10 seconds are enough anywhere.
for (let waits = 0; (heard < 5 || posted.length < 2) && waits < 500; waits++) await new Promise((soon) => setTimeout(soon, 20));
for (const one of [socket, letters, ...listeners]) one.close();
for (const message_id of posted) await post("/message/delete", { token: ann.token, message_id });
for (const { token } of [ann, bob]) await post("/conversation/quit", { token, conversation_id: group });
if (!tokens.length) console.log(`made: the accounts ${ann.email} and ${bob.email}`);
process.exit(heard < 5 || posted.length < 2 ? 1 : 0);
