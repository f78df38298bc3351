// Bob answers, and reads what comes. Usage: node first-conversation.mjs SERVER TOKEN CONVERSATION
import { io } from "socket.io-client";

const [server, token, conversation_id] = process.argv.slice(2);
const answer = { conversation_id, text_message: "With cake!", client_ref: `bob-${Date.now()}` };
const socket = io(server);
socket.on("connect", () => {
  socket.emit("authenticate", { token });
  socket.emit("join_conversation", { conversation_id });
  socket.emit("message", answer); // under the same reference a reconnect stores it once
});
socket.on("message", ({ message, sender }) => sender && console.log(`${sender.first_name}: ${message.content}`));
socket.on("error", (why) => console.error(why));
