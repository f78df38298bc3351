// Draws the state. Everything people wrote reaches the page as text, never as markup.
import { download, type Message, type User } from "./api";
import { authorOf, byEmail, isMine, nameOf, state, type Thread, type Waiting } from "./threads";

export const $ = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;

type Props = { class?: string; text?: string; click?: () => void; attrs?: Record<string, string> };
export function el(tag: string, { class: name, text, click, attrs }: Props = {}, ...children: (Node | string)[]): HTMLElement {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  if (click) node.addEventListener("click", click);
  for (const [key, value] of Object.entries(attrs ?? {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

let hiding = 0;
export function notice(text: string, bad = true): void {
  $("notice").textContent = text;
  $("notice").className = bad ? "bad" : "";
  $("notice").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => ($("notice").hidden = true), 5_000);
}

function dot(user: User | undefined): HTMLElement {
  const online = user?.isOnline === true;
  return el("span", { class: online ? "dot on" : "dot", attrs: { role: "img", "aria-label": online ? "online" : "offline" } });
}

type Actions = {
  open(thread: Thread): void;
  write(circle: number, to: User): void;
  invite(circle: number, email: string): void;
  accept(invite: number): void;
  reject(invite: number): void;
  retry(thread: Thread, waiting: Waiting): void;
};

export function drawSide(act: Actions): void {
  const me = state.me;
  if (!me) return;
  $("me").textContent = nameOf(me);
  $("invites").replaceChildren(
    ...me.invites.map(({ id, circle }) =>
      el("div", {}, el("p", { text: `You are invited to “${circle.name}”.` }),
        el("div", { class: "line" },
          el("button", { class: "primary", text: "Join", click: () => act.accept(id) }),
          el("button", { text: "No, thanks", click: () => act.reject(id) })))),
  );

  // A half-written address survives the redrawing.
  const typed = new Map([...$("places").querySelectorAll<HTMLInputElement>("input")].map((input) => [input.dataset.circle, input]));
  const loose = [...state.threads.values()].filter((thread) => !state.circles.some((circle) => circle.id === thread.circle));
  const focused = document.activeElement as HTMLElement | null;
  $("places").replaceChildren(
    ...state.circles.map((circle) =>
      el("section", { class: "circle" },
        el("h2", { text: circle.name }),
        ...[...state.threads.values()].filter((thread) => thread.circle === circle.id).map((thread) => threadRow(thread, act)),
        ...circle.users.filter(({ user }) => user.id !== me.id).map(({ user }) => personRow(circle.id, user, act)),
        inviteForm(circle.id, typed.get(String(circle.id)), act))),
    ...(loose.length ? [el("section", { class: "circle" }, el("h2", { text: "Others" }), ...loose.map((thread) => threadRow(thread, act)))] : []),
  );
  if (focused && !focused.matches(":focus")) refocus(focused);
}

/** Gives the focus back to what was drawn anew under it. */
function refocus(old: HTMLElement): void {
  const { conversation, person } = old.dataset;
  const same = [...$("places").querySelectorAll<HTMLElement>("input, .row")].find(
    (one) => one === old || (one.dataset.conversation === conversation && one.dataset.person === person && (conversation || person)),
  );
  same?.focus();
}

function threadRow(thread: Thread, act: Actions): HTMLElement {
  const last = thread.last;
  const preview = last ? (last.deleted ? "Message removed" : last.content || "Picture") : "";
  return el("button", {
    class: thread.unread ? "row unread" : "row",
    click: () => act.open(thread),
    attrs: { "aria-current": String(state.open === thread), "data-conversation": String(thread.id) },
  }, el("span", { class: "name" }, thread.title, el("span", { class: "last", text: preview })));
}

function personRow(circle: number, user: User, act: Actions): HTMLElement {
  const known = state.people.get(user.id) ?? user;
  return el("button", {
    class: "row",
    click: () => act.write(circle, known),
    attrs: { title: `Write to ${known.email}`, "data-person": known.email },
  }, dot(known), el("span", { class: "name", text: nameOf(known) }));
}

function inviteForm(circle: number, old: HTMLInputElement | undefined, act: Actions): HTMLElement {
  const input = old ?? (el("input", { attrs: { type: "email", required: "", placeholder: "name@example.org", "aria-label": "E-mail of the person to invite", "data-circle": String(circle) } }) as HTMLInputElement);
  const form = el("form", { class: "line" }, input, el("button", { text: "Invite" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act.invite(circle, input.value);
    input.value = "";
  });
  const details = el("details", {}, el("summary", { text: "Invite someone" }), form) as HTMLDetailsElement;
  details.open = old?.closest("details")?.open ?? false;
  return details;
}

/** Message nodes by place, kept as long as the message stays as it is, so that pictures do not flicker. */
let drawn = new Map<number, { message: Message; name: string; node: HTMLElement }>();
let drawnFor: Thread | null = null;
const pictures = new Map<number, Promise<string>>();

export function drawTalk(act: Actions): void {
  const { open, draft } = state;
  const box = $("scroll");
  const atEnd = drawnFor !== open || box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  if (drawnFor !== open) drawn = new Map();
  drawnFor = open;

  $("app").classList.toggle("talking", open !== null || draft !== null);
  $("composer").hidden = !open && !draft;
  $("title").textContent = open?.title ?? (draft ? `New conversation with ${nameOf(draft.to)}` : "");
  const others = (open?.members ?? (draft ? [draft.to] : [])).filter((user) => user.id !== state.me?.id);
  $("who").replaceChildren(...others.map((user) => el("span", {}, dot(state.people.get(user.id) ?? user), nameOf(user))));
  $("earlier").hidden = !open?.more;
  $("hint").textContent = open ? (open.loaded && open.messages.size === 0 ? "Nothing has been said yet." : "")
    : draft ? "Your first message opens the conversation."
    : state.circles.length ? "Choose a conversation, or a person to write to." : "Make a circle and invite somebody, or wait for an invitation.";

  $("log").replaceChildren(...(open ? [...open.places.map((place) => drawMessage(open, place)), ...open.waiting.map((one) => drawWaiting(open, one, act)), ...seenBy(open)] : []));
  drawTyping();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function drawMessage(thread: Thread, place: number): HTMLElement {
  const message = thread.messages.get(place)!;
  const name = authorOf(message);
  const old = drawn.get(place);
  if (old?.message === message && old.name === name) return old.node;
  const sent = new Date(`${message.sent}Z`);
  const node = el("li", { class: `message${isMine(message) ? " mine" : ""}${message.deleted ? " gone" : ""}` },
    el("header", { text: name }),
    ...(message.deleted ? [el("p", { text: "Message removed" })] : [
      ...message.medias.map(({ media }) => (media.uploaded === "True" ? picture(media.id, media.identifier ?? "") : el("p", { class: "quiet", text: `${media.identifier ?? "A file"} is on its way …` }))),
      ...(message.content ? [el("p", { text: message.content })] : []),
    ]),
    el("footer", { text: sent.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) + (message.edited ? ", edited" : ""), attrs: { title: sent.toLocaleString() } }));
  drawn.set(place, { message, name, node });
  return node;
}

function picture(media: number, name: string): HTMLElement {
  const image = el("img", { attrs: { alt: name } }) as HTMLImageElement;
  const address = pictures.get(media) ?? download(media);
  pictures.set(media, address);
  image.addEventListener("load", () => ($("scroll").scrollTop = $("scroll").scrollHeight), { once: true });
  address.then((url) => (image.src = url)).catch(() => pictures.delete(media));
  return image;
}

function drawWaiting(thread: Thread, one: Waiting, act: Actions): HTMLElement {
  const what = [one.text, ...one.files.map((file) => file.name)].filter(Boolean).join("\n");
  return el("li", { class: "message mine waiting" }, el("p", { text: what }),
    one.failed ? el("button", { class: "plain", text: `${one.failed} Try again`, click: () => act.retry(thread, one) }) : el("footer", { text: "sending …" }));
}

function seenBy(thread: Thread): HTMLElement[] {
  const mine = thread.places.filter((place) => isMine(thread.messages.get(place)!)).at(-1);
  const readers = [...thread.seen].filter(([user, place]) => mine && place >= mine && user !== state.me?.id);
  return readers.length ? [el("li", { class: "quiet seen", text: `Seen by ${readers.map(([user]) => nameOf(state.people.get(user))).join(", ")}` })] : [];
}

export function drawTyping(): void {
  const names = [...(state.open?.typing.keys() ?? [])].map((email) => nameOf(byEmail(email)));
  $("typing").textContent = names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing …` : "";
}
