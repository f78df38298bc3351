// Wires the page together: what people do becomes a request, what the server says becomes a redraw.
import { currentToken, loggedIn, post, Refused, setToken, upload, type CircleInfo, type Me, type User } from "./api";
import { Live } from "./live";
import { isMine, meet, state, Thread, type Waiting } from "./threads";
import { $, drawSide, drawTalk, drawTyping, notice } from "./view";

/** Other people's notices are repeated every few seconds; longer silence means they stopped. */
const TYPING_LAPSE = 6_000;
const TYPING_REPEAT = 3_000;

const live = new Live({
  up: () => void attempt(async () => {
    $("state").textContent = "";
    await places();
    for (const thread of state.threads.values()) for (const one of [...thread.waiting]) if (!one.failed) await deliver(thread, one);
  }),
  down: () => ($("state").textContent = "Connecting …"),
  loggedOut: () => leave("Please log in again."),
  changed: (conversation, sender) => {
    if (sender?.email) meet(sender);
    const thread = state.threads.get(conversation);
    if (thread) void catchUp(thread, true);
  },
  writing: (conversation, email, is) => {
    const thread = state.threads.get(conversation);
    if (!thread || email === state.me?.email) return;
    clearTimeout(thread.typing.get(email));
    thread.typing.delete(email);
    if (is) thread.typing.set(email, setTimeout(() => { thread.typing.delete(email); drawTyping(); }, TYPING_LAPSE));
    drawTyping();
  },
  presence: (user, online) => {
    const known = state.people.get(user);
    if (known) known.isOnline = online;
    draw();
  },
  read: (conversation, user, seq) => {
    state.threads.get(conversation)?.seen.set(user, seq);
    draw();
  },
  places: () => void attempt(places),
});

const actions = { open, write, invite, accept, reject, retry: (thread: Thread, one: Waiting) => void deliver(thread, one) };

function draw(): void {
  drawSide(actions);
  drawTalk(actions);
}

/** Runs what a person asked for; a refusal becomes a sentence on the page. */
async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && loggedIn()) leave("Please log in again.");
    else notice(error instanceof Error ? error.message : String(error));
  }
}

// Circles and conversations

let asking: Promise<void> | null = null;
let askAgain = false;
/** Asks who and what there is, and listens to all of it; asked during a run, it runs once more. */
function places(): Promise<void> {
  askAgain = asking !== null;
  asking ??= (async () => {
    try {
      do {
        askAgain = false;
        await lookAround();
      } while (askAgain);
    } finally {
      asking = null;
    }
  })();
  return asking;
}

async function lookAround(): Promise<void> {
  const me: Me = (await post("/user/info")).content;
  state.me = me;
  meet(me);
  const mine = new Map(me.conversations.map((link) => [link.conversation_id, link.circle_id]));
  for (const id of state.threads.keys()) if (!mine.has(id)) state.threads.delete(id);
  if (state.open && !mine.has(state.open.id)) state.open = null;
  for (const [id, circle] of mine) if (!state.threads.has(id)) state.threads.set(id, new Thread(id, circle));

  // Listening comes before reading: what changes in between arrives as an event.
  await Promise.all([...me.circles.map(({ circle }) => live.joinCircle(circle.id)), ...[...mine.keys()].map(live.join)]);
  state.circles = await Promise.all(me.circles.map(async ({ circle }): Promise<CircleInfo> => (await post("/circle/info", { circle_id: circle.id })).content));
  for (const circle of state.circles) {
    for (const { user } of circle.users) meet(user);
    for (const { id, name } of circle.conversations) {
      const thread = state.threads.get(id);
      if (thread) thread.title = name;
    }
  }
  draw();
  await Promise.all([...state.threads.values()].map((thread) => catchUp(thread, false)));
  if (state.open) await members(state.open);
}

/** Reads what is new in a conversation. Events only say that there is something; order and edits come from here. */
async function catchUp(thread: Thread, fresh: boolean): Promise<void> {
  const before = thread.last?.seq ?? 0;
  await attempt(() => thread.once(async () => {
    if (!thread.loaded) {
      const page = await live.history(thread.id);
      if (!page.success) throw new Error(page.message);
      thread.take(page.messages);
      thread.more = page.more;
      thread.loaded = true;
      return;
    }
    let more = true;
    while (more) {
      const page = await live.sync(thread.id, thread.revision);
      if (!page.success) throw new Error(page.message);
      thread.take(page.messages);
      thread.revision = Math.max(thread.revision, page.revision);
      more = page.more;
    }
  }));
  const last = thread.last;
  if (fresh && last && last.seq > before && !isMine(last)) thread.unread = true;
  await seen(thread);
  draw();
}

/** Tells the others how far this person has read, if the conversation is really before their eyes. */
async function seen(thread: Thread): Promise<void> {
  if (state.open !== thread || document.hidden) return;
  thread.unread = false;
  const last = thread.last;
  if (!last || last.seq <= thread.readTo) return;
  thread.readTo = last.seq;
  if (!isMine(last)) await live.read(thread.id, last.seq).catch(() => (thread.readTo = 0));
}

async function members(thread: Thread): Promise<void> {
  const info = (await post("/conversation/info", { conversation_id: thread.id })).content;
  thread.members = info.links.map((link: { user_id: User }) => link.user_id);
  thread.members.forEach(meet);
  thread.title = info.name || thread.title;
  draw();
}

function open(thread: Thread): void {
  state.open = thread;
  state.draft = null;
  draw();
  $("text").focus();
  void attempt(() => Promise.all([members(thread), seen(thread).then(draw)]));
}

function write(circle: number, to: User): void {
  state.open = null;
  state.draft = { circle, to };
  draw();
  $("text").focus();
}

function invite(circle: number, email: string): void {
  void attempt(async () => {
    await post("/circle/invite", { circle_id: circle, email });
    notice(`${email} is invited.`, false);
  });
}

function accept(id: number): void {
  void attempt(() => post("/circle/join", { invite_id: id }).then(places));
}

function reject(id: number): void {
  void attempt(() => post("/circle/reject", { invite_id: id }).then(places));
}

// Talking

/** Sends one message until it is stored; under the same reference it is stored once. */
async function deliver(thread: Thread, one: Waiting): Promise<void> {
  one.failed = undefined;
  if (!live.ready) return;
  try {
    const media = await live.say(thread.id, one.ref, one.text, one.files.map((file) => file.name));
    await Promise.all(media.map((medium, at) => upload(medium.id, one.files[at]!)));
    thread.waiting.splice(thread.waiting.indexOf(one), 1);
    await catchUp(thread, false);
  } catch (error) {
    // Whoever lost the connection sends it again when it is back.
    if (live.ready) one.failed = error instanceof Error ? `${error.message}.`.replace("..", ".") : "Not sent.";
  }
  draw();
}

async function begin(circle: number, to: User, text: string, files: File[]): Promise<void> {
  const first = await post("/message/first-message", { circle_id: circle, email: to.email, text_message: text, files: files.map((file) => file.name) });
  await post("/conversation/update", { conversation_id: first.conversation_id, conversation_name: `${state.me!.first_name} & ${to.first_name}` });
  await Promise.all(first.media_list.map((medium: { id: number }, at: number) => upload(medium.id, files[at]!)));
  await places();
  const thread = state.threads.get(first.conversation_id);
  if (thread) open(thread);
}

let typedAt = 0;
function typing(is: boolean): void {
  if (!state.open || (is && Date.now() - typedAt < TYPING_REPEAT) || (!is && typedAt === 0)) return;
  typedAt = is ? Date.now() : 0;
  live.typing(state.open.id, is);
}

function send(files: File[]): void {
  const box = $<HTMLTextAreaElement>("text");
  const text = box.value.trim();
  const { open: thread, draft } = state;
  if ((!text && files.length === 0) || (!thread && !draft)) return;
  typing(false);
  box.value = "";
  if (thread) {
    const one: Waiting = { ref: crypto.getRandomValues(new Uint32Array(4)).join("-"), text, files };
    thread.waiting.push(one);
    draw();
    $("scroll").scrollTop = $("scroll").scrollHeight;
    void deliver(thread, one);
  } else if (draft) {
    void attempt(() => begin(draft.circle, draft.to, text, files));
  }
}

// Coming and going

function leave(why = ""): void {
  setToken("");
  live.disconnect();
  Object.assign(state, { me: null, circles: [], people: new Map(), threads: new Map(), open: null, draft: null });
  $("app").hidden = true;
  $("welcome").hidden = false;
  $("entry-error").textContent = why;
}

function enter(): void {
  $("welcome").hidden = true;
  $("app").hidden = false;
  $("state").textContent = "Connecting …";
  live.connect();
}

function choose(register: boolean): void {
  const fields = $<HTMLFieldSetElement>("newcomer");
  fields.hidden = fields.disabled = !register;
  $("enter").textContent = register ? "Register" : "Log in";
}

$("entry").addEventListener("change", (event) => {
  const input = event.target as HTMLInputElement;
  if (input.name === "mode") choose(input.value === "register");
});
$<HTMLFormElement>("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target as HTMLFormElement;
  const { mode, ...fields } = Object.fromEntries(new FormData(form)) as Record<string, string>;
  $("entry-error").textContent = "";
  void (async () => {
    try {
      if (mode === "register") await post("/account/create", fields);
      setToken((await post("/account/login", { email: fields.email, password: fields.password })).token);
      form.reset();
      choose(false);
      enter();
    } catch (error) {
      $("entry-error").textContent = error instanceof Error ? error.message : String(error);
    }
  })();
});
$("logout").addEventListener("click", () => {
  const token = currentToken();
  leave();
  void post("/account/logout", { token }).catch(() => undefined);
});
$<HTMLFormElement>("new-circle").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target as HTMLFormElement;
  const name = String(new FormData(form).get("name"));
  form.reset();
  void attempt(() => post("/circle/create", { name }).then(places));
});
$("back").addEventListener("click", () => {
  state.open = state.draft = null;
  draw();
});
$("earlier").addEventListener("click", () => {
  const thread = state.open;
  if (!thread) return;
  void attempt(async () => {
    const page = await live.history(thread.id, thread.places[0]);
    if (!page.success) throw new Error(page.message);
    thread.take(page.messages, true);
    thread.more = page.more;
    draw();
  });
});
$("text").addEventListener("input", () => typing($<HTMLTextAreaElement>("text").value !== ""));
$("text").addEventListener("blur", () => typing(false));
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send([]);
  }
});
$<HTMLFormElement>("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send([]);
});
$("files").addEventListener("change", () => {
  const input = $<HTMLInputElement>("files");
  send([...(input.files ?? [])]);
  input.value = "";
});
document.addEventListener("visibilitychange", () => state.open && void seen(state.open).then(draw));

if (loggedIn()) enter();
else leave();
