// Bob answers, hears his own words come back, and leaves. Usage: node first-conversation.mjs SERVER TOKEN CONVERSATION
import { io } from "socket.io-client";

const [server, token, conversation_id] = process.argv.slice(2);
const answer = { conversation_id, text_message: "With cake!", client_ref: `bob-${Date.now()}` };
const socket = io(server);
socket.on("connect", () => {
  socket.emit("authenticate", { token });
  socket.emit("join_conversation", { conversation_id });
  socket.emit("message", answer); // under the same reference a reconnect stores it once
});
socket.on("message", ({ message, sender }) => {
  if (!sender) return; // an edit, a deletion, or files on their way
  console.log(`${sender.first_name}: ${message.content}`);
  if (message.content === answer.text_message) socket.disconnect();
});
socket.on("error", (why) => {
  console.error(why);
  process.exitCode = 1;
  socket.disconnect();
});
