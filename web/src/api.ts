// The HTTP half of a NEO client: plain POSTs with the token in the body, files with the token in a header.

export type User = { id: number; email: string; first_name: string; last_name: string; isOnline: boolean };
export type Circle = { id: number; name: string };
export type Conversation = { id: number; name: string; circle_id: number | null };
export type CircleInfo = Circle & { users: { user: User }[]; conversations: Conversation[] };
export type Me = User & {
  circles: { circle: Circle }[];
  invites: { id: number; circle: Circle }[];
  conversations: { conversation_id: number; circle_id: number | null }[];
};
export type Media = { id: number; identifier: string | null; extension: string | null; uploaded: "True" | "False" };
export type Message = {
  id: number;
  seq: number;
  revision: number;
  sent: string;
  content: string;
  edited?: string | boolean | null;
  deleted?: boolean;
  link?: { user_id?: number };
  device?: { name: string };
  medias: { media: Media }[];
};

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

// One login per window, so that two windows can be two people.
const KEY = "klatsch.token";
let token = sessionStorage.getItem(KEY) ?? "";

export const loggedIn = () => token !== "";
export const currentToken = () => token;
export function setToken(value: string): void {
  token = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

async function answer(response: Response): Promise<any> {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body.message ?? `The server answered ${response.status}.`);
  return body;
}

export async function post(path: string, body: object = {}): Promise<any> {
  const sent = token ? { token, ...body } : body;
  return answer(
    await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(sent) }),
  );
}

export async function upload(media: number, file: File): Promise<void> {
  const form = new FormData();
  form.append("file", file);
  await answer(await fetch(`/media/upload/${media}`, { method: "POST", headers: { authorization: token }, body: form }));
}

/** Fetches a file as an address for `src`; an element cannot send the token itself. */
export async function download(media: number): Promise<string> {
  const response = await fetch(`/media/file/${media}`, { headers: { authorization: token } });
  if (!response.ok) throw new Refused(response.status, "The file is not there.");
  return URL.createObjectURL(await response.blob());
}
