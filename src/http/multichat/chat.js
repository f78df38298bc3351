"use strict";
// The page of rooms. Text goes into it as text, never as HTML; after a loss the rooms that
// are open are joined again behind the last message they show.

const rooms = document.getElementById("rooms");
const chats = document.getElementById("chats");
const state = document.getElementById("state");
const boxes = new Map();
let socket = null;
let pause = 1000;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function ask(command, more) {
  if (socket && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ command, ...more }));
  }
}

function line(box, text, properties = {}) {
  const end = box.messages.scrollHeight - box.messages.scrollTop - box.messages.clientHeight < 40;
  const made = element("p", properties, ...text);
  box.messages.append(made);
  if (end) box.messages.scrollTop = box.messages.scrollHeight;
  return made;
}

function open(room, title) {
  if (boxes.has(room)) return boxes.get(room);
  const messages = element("div", { className: "messages" });
  const input = element("input", { placeholder: "Say something", maxLength: 8192 });
  const form = element("form", {}, input, element("button", {}, "Send"));
  const leave = element("button", { type: "button" }, "Leave");
  const heading = element("h2", {}, title, leave);
  const whole = element("section", { className: "room" }, heading, messages, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) ask("send", { room, message: input.value });
    input.value = "";
  });
  leave.addEventListener("click", () => ask("leave", { room }));
  chats.append(whole);
  const box = { whole, messages, shown: new Map(), last: 0 };
  boxes.set(room, box);
  mark();
  return box;
}

function close(room) {
  const box = boxes.get(room);
  if (box) box.whole.remove();
  boxes.delete(room);
  mark();
}

function mark() {
  for (const link of rooms.querySelectorAll(".room-link")) {
    link.classList.toggle("joined", boxes.has(link.dataset.roomId));
  }
}

function show(box, packet) {
  if (box.shown.has(packet.id)) return;
  const name = element("b", {}, `${packet.username}: `);
  const text = element("span", {}, packet.message);
  line(box, [name, text], { className: packet.own ? "own" : "", title: packet.sent });
  box.shown.set(packet.id, text);
  box.last = Math.max(box.last, packet.id);
}

function list(packet) {
  const links = packet.rooms.map((room) => {
    const link = element("li", { className: "room-link" }, room.title);
    link.dataset.roomId = room.room;
    link.classList.toggle("staff", room.staff_only);
    return link;
  });
  rooms.replaceChildren(...links);
  mark();
}

function receive(packet) {
  if (packet.error) {
    state.textContent = packet.error === "ROOM_ACCESS_DENIED" ? "This room is not for you." : packet.error;
    return;
  }
  if (packet.join) return void open(packet.join, packet.title);
  if (packet.leave) return close(packet.leave);
  if (packet.msg_type === 10) return list(packet);
  if (packet.msg_type >= 11 && packet.msg_type <= 13) return ask("rooms");
  const box = boxes.get(packet.room);
  if (!box) return;
  if (packet.msg_type === 0 || packet.msg_type === 6) show(box, packet);
  if (packet.msg_type === 9) for (const one of packet.messages) show(box, one);
  if (packet.msg_type >= 1 && packet.msg_type <= 3) line(box, [packet.message], { className: "notice" });
  if (packet.msg_type === 4) line(box, [`${packet.username} has come`], { className: "notice" });
  if (packet.msg_type === 5) line(box, [`${packet.username} has left`], { className: "notice" });
  const known = box.shown.get(packet.id);
  if (packet.msg_type === 7 && known) known.textContent = packet.message;
  if (packet.msg_type === 8 && known) known.parentElement.remove();
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/chat/stream/?features=own,history,rooms`);
  socket.addEventListener("open", () => {
    state.textContent = "";
    pause = 1000;
    for (const [room, box] of boxes) ask("join", box.last ? { room, after: box.last } : { room });
  });
  socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  socket.addEventListener("close", () => {
    state.textContent = "The connection is lost; trying again …";
    setTimeout(connect, pause);
    pause = Math.min(pause * 1.5, 30000);
  });
}

rooms.addEventListener("click", (event) => {
  const link = event.target.closest(".room-link");
  if (!link) return;
  const room = link.dataset.roomId;
  state.textContent = "";
  ask(boxes.has(room) ? "leave" : "join", { room });
});

connect();
