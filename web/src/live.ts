// The Socket.IO half: one connection that says who it is, listens to everything, and asks with acknowledgements.
import { io, type Socket } from "socket.io-client";
import { currentToken, type Media, type Message, type User } from "./api";

type Answer = { success: boolean; message?: string; code?: string };
export type Handlers = {
  /** Connected and known; also after every reconnect. */
  up(): void;
  down(): void;
  /** The token is no longer good. */
  loggedOut(): void;
  /** Something in this conversation changed; `sender` when the event names one. */
  changed(conversation: number, sender?: User): void;
  writing(conversation: number, email: string, is: boolean): void;
  presence(user: number, online: boolean): void;
  read(conversation: number, user: number, seq: number): void;
  /** Circles, invitations or conversations changed. */
  places(): void;
};

const DEADLINE = 10_000;

export class Live {
  /** Connected, and the server knows who this is. */
  ready = false;
  private readonly socket: Socket = io({ autoConnect: false });
  /** File numbers by message; `media` comes just before the acknowledgement that names the message. */
  private readonly announced = new Map<number, Media[]>();

  constructor(on: Handlers) {
    const socket = this.socket;
    socket.on("connect", async () => {
      const who = await this.ask<Answer>("authenticate", { token: currentToken() }).catch(() => null);
      this.ready = who?.success === true;
      if (this.ready) on.up();
      else if (who && who.code !== "unavailable") on.loggedOut();
      else setTimeout(() => socket.disconnect().connect(), 2_000);
    });
    const down = () => {
      this.ready = false;
      on.down();
    };
    socket.on("disconnect", down);
    socket.on("connect_error", down);
    socket.on("message", (event) => on.changed(event.conversation_id, event.sender));
    socket.on("media", (event) => this.announced.set(event.message_id, event.media_list));
    socket.on("writing", (event) => on.writing(event.conversation_id, event.user ?? "", event.is_writing));
    socket.on("presence", (event) => event.user_id && on.presence(event.user_id, event.online));
    socket.on("read", (event) => on.read(event.conversation_id, event.user_id, event.seq));
    for (const channel of ["circle", "circle_invite", "conversation"]) socket.on(channel, () => on.places());
  }

  connect = () => void this.socket.connect();
  disconnect = () => void this.socket.disconnect();

  join = (conversation: number) => this.ask<Answer>("join_conversation", { conversation_id: conversation });
  joinCircle = (circle: number) => this.ask<Answer>("join_circle", { circle_id: circle });

  history = (conversation: number, before?: number, limit = 50) =>
    this.ask<Answer & { messages: Message[]; more: boolean }>("history", { conversation_id: conversation, limit, ...(before ? { before } : {}) });
  sync = (conversation: number, since: number) =>
    this.ask<Answer & { messages: Message[]; more: boolean; revision: number }>("sync", { conversation_id: conversation, since });
  read = (conversation: number, seq: number) => this.ask<Answer>("read", { conversation_id: conversation, seq });

  /** Posts under the client's own reference, so that asking twice stores once. */
  async say(conversation: number, client_ref: string, text_message: string, files: string[]): Promise<Media[]> {
    const body = { conversation_id: conversation, client_ref, text_message, ...(files.length ? { files } : {}) };
    const said = await this.ask<Answer & { message_id: number }>("message", body);
    if (!said.success) throw new Error(said.message ?? "The message was refused.");
    const media = this.announced.get(said.message_id) ?? [];
    this.announced.delete(said.message_id);
    return media;
  }

  typing(conversation: number, is: boolean): void {
    if (this.ready) this.socket.emit("writing", { conversation_id: conversation, is_writing: is });
  }

  private ask<T>(channel: string, body: object): Promise<T> {
    return this.socket.timeout(DEADLINE).emitWithAck(channel, body);
  }
}
