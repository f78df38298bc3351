// Ten operations of a client that openapi-typescript made of the document, called by openapi-fetch.
// Usage: node client.js SERVER. The types are checked by tsc before.
import createClient from "openapi-fetch";
import type { components, paths } from "./built/klatsch.js";

declare const process: { argv: string[] };
const client = createClient<paths>({ baseUrl: process.argv[2] });

/** What was answered, if it was a success. */
function good<T>({ data, error, response }: { data?: T; error?: components["schemas"]["Failure"]; response: Response }): T {
  if (data === undefined) throw new Error(`${response.url}: ${response.status} ${error?.message}`);
  return data;
}

async function person(name: string): Promise<string> {
  const email = `${name}@example.org`;
  const account = { email, password: "coffee and cake", first_name: name, last_name: "Lee", birthday: "1990-12-25" };
  good(await client.POST("/account/create", { body: account }));
  return good(await client.POST("/account/login", { body: { email, password: account.password } })).token;
}

const [ann, bob] = [await person("ann"), await person("bob")];
const by = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

const circle: components["schemas"]["Circle.simple"] = good(await client.POST("/circle/create", { body: { name: "Family" }, ...by(ann) })).content;
good(await client.POST("/circle/invite", { body: { circle_id: circle.id, email: "bob@example.org" }, ...by(ann) }));
const [invite] = good(await client.POST("/user/info", { body: {}, ...by(bob) })).content.invites;
good(await client.POST("/circle/join", { body: { invite_id: invite!.id }, ...by(bob) }));
const first = { circle_id: circle.id, email: "bob@example.org", text_message: "Coffee?" };
const { conversation_id } = good(await client.POST("/message/first-message", { body: first, ...by(ann) }));
good(await client.POST("/message/send", { body: { conversation_id, text_message: "With cake!", client_ref: "bob-1" }, ...by(bob) }));
const where = { params: { path: { conversation_id, quantity: 10 } } };
const list = good(await client.GET("/message/list/{conversation_id}/{quantity}", { ...where, ...by(bob) })).content;
const shown = good(await client.GET("/circle/info/{circle_id}", { params: { path: { circle_id: circle.id } }, ...by(bob) })).content;
const me = found(await client.GET("/members/me", by(ann)));

function found(answer: { data?: components["schemas"]["Member"]; response: Response }) {
  if (!answer.data) throw new Error(`${answer.response.url}: ${answer.response.status}`);
  return answer.data;
}

// A failure has its type as well.
const { error } = await client.POST("/circle/kick", { body: { circle_id: circle.id, email: "nobody@example.org" }, ...by(bob) });
const said: string | undefined = error?.message;

const texts = list.map((message) => message.content);
if (texts.join() !== "Coffee?,With cake!" || shown.users.length !== 2 || me.email !== "ann@example.org" || !said) {
  throw new Error(JSON.stringify({ texts, shown, me, said }));
}
console.log("ok: ten operations of a client made from the document");
