//! The addresses that are not routes of NEO, for the reference.
//!
//! What serves them reads its requests itself, so this table is not made of what routes them;
//! a test asks a server for each.

use utoipa::openapi::path::HttpMethod;

use crate::http::body::{Key, flag_key, number_key, text_key};

/// How a request brings its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As a JSON object.
    Json,
    /// As a form.
    Form,
    /// As parts, one of them a file.
    Parts,
}

impl Way {
    pub(super) const fn mime(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Parts => "multipart/form-data",
        }
    }
}

/// An address with one of its verbs.
pub(super) struct Entry {
    pub(super) verb: HttpMethod,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Who may ask, and how they show it.
    pub(super) by: &'static str,
    /// What the query holds.
    pub(super) query: Vec<Key>,
    /// What the body holds.
    pub(super) body: Option<(Way, Vec<Key>)>,
    /// What is answered: the status, and what comes with it.
    pub(super) answers: Vec<(u16, Shown)>,
}

/// What an answer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// JSON, in the notation of `notation`.
    Json(&'static str),
    /// HTML.
    Page(&'static str),
    /// Plain text.
    Text(&'static str),
    /// JavaScript.
    Script(&'static str),
    /// Bytes of any type.
    Bytes(&'static str),
    /// No body that says anything.
    Nothing(&'static str),
}

impl Shown {
    /// What it is, for people.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json(text)
            | Self::Page(text)
            | Self::Text(text)
            | Self::Script(text)
            | Self::Bytes(text)
            | Self::Nothing(text) => text,
        }
    }
}

const ANYBODY: &str = "anybody";
const TOKEN: &str = "a user, by `Authorization: Bearer TOKEN`";
const SUPERUSER: &str = "superusers, by `Authorization: Bearer TOKEN`";
const BROWSER: &str = "a browser, by the cookie `sessionid`";
const SMILE: Shown = Shown::Json("Smile");
const MEMBER: Shown = Shown::Json("Member");
const SOCKET: Shown = Shown::Nothing("a WebSocket");
/// What an address that is there for sockets alone says to who does not ask for one.
const NO_SOCKET: Shown = Shown::Text("this address serves WebSockets alone");

impl Entry {
    fn new(verb: HttpMethod, path: &'static str, summary: &'static str) -> Self {
        let (query, answers) = (Vec::new(), Vec::new());
        Self { verb, path, summary, by: ANYBODY, query, body: None, answers }
    }

    fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Get, path, summary)
    }

    fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Post, path, summary)
    }

    fn by(self, by: &'static str) -> Self {
        Self { by, ..self }
    }

    fn asks<const N: usize>(self, query: [Key; N]) -> Self {
        Self { query: query.into(), ..self }
    }

    fn takes<const N: usize>(self, way: Way, keys: [Key; N]) -> Self {
        Self { body: Some((way, keys.into())), ..self }
    }

    fn gives(mut self, status: u16, what: Shown) -> Self {
        self.answers.push((status, what));
        self
    }

    fn fails<const N: usize>(mut self, statuses: [u16; N]) -> Self {
        self.answers.extend(statuses.map(|status| (status, Shown::Json("MembersFailure"))));
        self
    }

    /// With what any address may answer when there is too much of something.
    fn bounded(mut self) -> Self {
        let busy = [
            (429, Shown::Nothing("too often, or too many connections of this address")),
            (503, Shown::Nothing("the database does not answer, or all connections are taken")),
        ];
        for (status, shown) in busy {
            if self.answers.iter().all(|(known, _)| *known != status) {
                self = self.gives(status, shown);
            }
        }
        self
    }

    /// The security scheme by which the asker shows who it is, if the header or a cookie does.
    pub(super) fn security(&self) -> Option<&'static str> {
        match self.by {
            TOKEN | SUPERUSER => Some(super::operations::TOKEN),
            BROWSER => Some(super::operations::BROWSER),
            _ => None,
        }
    }
}

/// All of them, by chapter.
pub(super) fn chapters() -> Vec<(&'static str, Vec<Entry>)> {
    let all = [
        ("Members", members()),
        ("Stored files", storage()),
        ("Browsers", browsers()),
        ("Sockets", sockets()),
        ("The server", server()),
    ];
    all.map(|(title, entries)| (title, entries.into_iter().map(Entry::bounded).collect())).into()
}

fn members() -> Vec<Entry> {
    vec![
        Entry::post("/auth/register", "Makes an account.")
            .takes(
                Way::Json,
                [
                    text_key("email"),
                    text_key("password"),
                    text_key("repeat_password"),
                    text_key("first_name").optional(),
                    text_key("last_name").optional(),
                ],
            )
            .gives(
                201,
                Shown::Json(
                    "{id: integer, email: text, is_superuser: flag, is_employee: flag, \
                      is_premium: flag, balance: integer}",
                ),
            )
            .fails([403, 409, 413, 422, 429]),
        Entry::post("/auth/login", "Logs in.")
            .takes(Way::Json, [text_key("email"), text_key("password")])
            .gives(
                200,
                Shown::Json(
                    "{access_token: text, token_type: text, expires_in: integer, \
                      member_id: integer}",
                ),
            )
            .fails([401, 403, 422, 429]),
        Entry::get("/members/me", "Shows one's own account.")
            .by(TOKEN)
            .gives(200, MEMBER)
            .fails([401]),
        Entry::new(HttpMethod::Patch, "/members/{id}", "Changes an account.")
            .by(SUPERUSER)
            .takes(
                Way::Json,
                [
                    number_key("balance_delta").optional(),
                    flag_key("is_superuser").optional(),
                    flag_key("is_employee").optional(),
                    flag_key("is_active").optional(),
                    text_key("premium_until").optional(),
                ],
            )
            .gives(200, MEMBER)
            .fails([401, 403, 404, 409, 422]),
    ]
}

fn storage() -> Vec<Entry> {
    vec![
        Entry::get("/storage", "A stored file, or a range of it.")
            .by("anybody; with `storage_requires_auth` who may read it, by `Authorization` or `token`")
            .asks([text_key("uuid"), text_key("token").optional()])
            .gives(200, Shown::Bytes("the bytes"))
            .gives(206, Shown::Bytes("the range that was asked for"))
            .fails([401, 403, 404, 416, 422]),
        Entry::get("/storage/smiles", "Lists the smiles.")
            .by(TOKEN)
            .gives(200, Shown::Json("[Smile]"))
            .fails([401]),
        Entry::post("/storage/smiles", "Makes a smile of an image.")
            .by(SUPERUSER)
            .takes(Way::Parts, [text_key("file"), number_key("price").optional()])
            .gives(201, SMILE)
            .fails([401, 403, 413, 422]),
        Entry::new(HttpMethod::Patch, "/storage/smiles/{id}", "Changes the price of a smile.")
            .by(SUPERUSER)
            .takes(Way::Json, [number_key("price")])
            .gives(200, SMILE)
            .fails([401, 403, 404, 422]),
        Entry::new(HttpMethod::Delete, "/storage/smiles/{id}", "Takes a smile away.")
            .by(SUPERUSER)
            .gives(204, Shown::Nothing("nothing"))
            .fails([401, 403, 404]),
    ]
}

fn browsers() -> Vec<Entry> {
    let next = || text_key("next").optional();
    let page = |path, summary| {
        Entry::get(path, summary)
            .by(BROWSER)
            .gives(200, Shown::Page("the page"))
            .gives(302, Shown::Nothing("to the login"))
    };
    vec![
        Entry::get("/accounts/login/", "The form that logs a browser in.")
            .asks([next()])
            .gives(200, Shown::Page("the form, and the cookie `csrftoken`")),
        Entry::post("/accounts/login/", "Logs a browser in.")
            .takes(
                Way::Form,
                [
                    text_key("username"),
                    text_key("password"),
                    text_key("csrfmiddlewaretoken"),
                    next(),
                ],
            )
            .gives(302, Shown::Nothing("the cookie `sessionid`, and on to `next`"))
            .gives(200, Shown::Page("the form again: the name or the password is wrong"))
            .gives(400, Shown::Nothing("what came is no form"))
            .gives(403, Shown::Page("the form again: without its token"))
            .gives(429, Shown::Page("the form again: too many attempts")),
        Entry::get("/accounts/logout/", "Logs a browser out.")
            .by(BROWSER)
            .gives(302, Shown::Nothing("to the login")),
        Entry::post("/accounts/logout/", "Logs a browser out.")
            .by(BROWSER)
            .gives(302, Shown::Nothing("to the login"))
            .gives(403, Shown::Text("another site has asked")),
        page("/chat/", "The page of rooms."),
        page("/dialogs/", "The page of the newest dialog."),
        page("/dialogs/{username}", "The page of the dialog with a user; begins it."),
    ]
}

fn sockets() -> Vec<Entry> {
    let socket = |path, summary| {
        Entry::get(path, summary)
            .gives(101, SOCKET)
            .gives(400, Shown::Nothing("the handshake is malformed"))
            .gives(401, Shown::Nothing("who asks is not known"))
            .gives(403, Shown::Nothing("who asks, or the page it asks from, may not"))
            .gives(404, Shown::Nothing("there is nobody of that name"))
            .gives(426, NO_SOCKET)
    };
    let session = |entry: Entry| {
        entry
            .gives(400, Shown::Nothing("no such session, version or transport"))
            .gives(403, Shown::Nothing("the page that asks may not"))
    };
    let client = |path, summary| {
        Entry::get(path, summary)
            .gives(200, Shown::Script("JavaScript"))
            .gives(404, Shown::Nothing("the server was built without its page"))
    };
    vec![
        session(Entry::get(
            "/socket.io/",
            "Socket.IO: a WebSocket, or what has come since the last poll.",
        ))
        .asks([text_key("transport"), number_key("EIO").optional(), text_key("sid").optional()])
        .gives(101, SOCKET)
        .gives(200, Shown::Bytes("packets")),
        session(Entry::post("/socket.io/", "Socket.IO: packets of a client that polls."))
            .asks([text_key("transport"), number_key("EIO").optional(), text_key("sid")])
            .gives(200, Shown::Bytes("ok"))
            .gives(413, Shown::Nothing("too large")),
        client("/socket.io/socket.io.js", "The official client."),
        client("/socket.io/socket.io.min.js", "The same, small."),
        socket("/members/chat/", "members-chat: the chat with one other member.")
            .by("a user; the first message is `Bearer TOKEN`")
            .asks([number_key("other_member_id")])
            .fails([422]),
        socket("/chat/stream/", "multichat: all rooms over one connection.").by(
            "a browser, by the cookie `sessionid`, or a program, by a token in the header or query",
        ),
        socket("/private-chat/{session_key}/{opponent}", "private-chat: the dialog with a user.")
            .by("a user, by a browser login's key"),
        socket("/courier", "courier: letters of two and of groups.")
            .by("a user; the first frame says who"),
    ]
}

fn server() -> Vec<Entry> {
    vec![
        Entry::get("/", "The web client.").gives(200, Shown::Page("the page")),
        Entry::get("/docs", "This reference, for people.").gives(200, Shown::Page("the page")),
        Entry::get("/docs/openapi.json", "This reference, for programs.")
            .gives(200, Shown::Json("any")),
        Entry::get("/doctor", "What of this server a browser reaches.")
            .gives(200, Shown::Page("the page")),
        Entry::get("/healthz", "Says that the server is alive.")
            .gives(200, Shown::Json("{alive: flag}")),
        Entry::get("/readyz", "Says whether everything it needs answers.")
            .gives(200, Shown::Json("{ready: flag, missing: [text]}"))
            .gives(503, Shown::Json("{ready: flag, missing: [text]}")),
        Entry::get("/metrics", "Figures, as Prometheus reads them.")
            .gives(200, Shown::Text("text")),
    ]
}
