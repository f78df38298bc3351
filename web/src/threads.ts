// What this window knows: people, circles, and per conversation the messages by their place.
import type { CircleInfo, Me, Message, User } from "./api";

/** A message on its way; its reference makes sending it again harmless. */
export type Waiting = { ref: string; text: string; files: File[]; failed?: string };

export class Thread {
  readonly messages = new Map<number, Message>();
  readonly waiting: Waiting[] = [];
  /** When each person's typing notice lapses, by e-mail. */
  readonly typing = new Map<string, number>();
  /** How far each person has read. */
  readonly seen = new Map<number, number>();
  title = "Conversation";
  members: User[] = [];
  revision = 0;
  loaded = false;
  more = false;
  unread = false;
  readTo = 0;
  private busy = false;
  private again = false;

  constructor(readonly id: number, readonly circle: number | null) {}

  get places(): number[] {
    return [...this.messages.keys()].sort((a, b) => a - b);
  }
  get last(): Message | undefined {
    return this.messages.get(this.places.at(-1) ?? 0);
  }

  /** Takes messages in their present state; what lies before the loaded part stays for `history`. */
  take(messages: Message[], older = false): void {
    const first = this.loaded && !older ? (this.places[0] ?? 0) : 0;
    for (const message of messages) {
      this.revision = Math.max(this.revision, message.revision);
      if (message.seq >= first) this.messages.set(message.seq, message);
    }
  }

  /** Runs `step` now, or once more after the run under way: one request at a time, none forgotten. */
  async once(step: () => Promise<void>): Promise<void> {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      do {
        this.again = false;
        await step();
      } while (this.again);
    } finally {
      this.busy = false;
    }
  }
}

export const state = {
  me: null as Me | null,
  circles: [] as CircleInfo[],
  people: new Map<number, User>(),
  threads: new Map<number, Thread>(),
  open: null as Thread | null,
  /** Somebody to whom the first message is being written. */
  draft: null as { circle: number; to: User } | null,
};

export function meet(user: User): void {
  state.people.set(user.id, { ...state.people.get(user.id), ...user });
}

export const nameOf = (user: User | undefined) => (user ? `${user.first_name} ${user.last_name}`.trim() || user.email : "Someone");

export function byEmail(email: string): User | undefined {
  return [...state.people.values()].find((user) => user.email === email);
}

export const authorOf = (message: Message) => message.device?.name ?? nameOf(state.people.get(message.link?.user_id ?? 0));
export const isMine = (message: Message) => message.link?.user_id === state.me?.id;
