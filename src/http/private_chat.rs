//! The pages of private-chat: the list of dialogs, and one dialog with its history.
//!
//! A browser is known by its cookie. The page is given a key for the address of its
//! WebSocket, which is not the cookie and cannot be turned into it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::forwarded::own_authority;
use super::identity::cookie;
use super::layers::client_address;
use super::multichat::SESSION_COOKIE;
use super::streaming::in_turn;
use super::{Named, Web, named};
use crate::domain::{Credentials, Refusal, RefusalKind};
use crate::service::{Bulk, Caller, DialogPage};
use crate::wire::plain;

/// The page, with places to fill in.
const PAGE: &str = include_str!("dialogs.html");
/// What the page does.
const SCRIPT: &str = include_str!("dialogs.js");

/// What the pages rest on.
#[derive(Clone)]
struct Pages {
    web: Web,
    /// Where pages find their WebSocket; empty = where they were found themselves.
    base: Arc<str>,
}

/// The pages' addresses.
pub fn routes(web: Web, public_base: &str) -> Router {
    let pages = Pages { web, base: public_base.into() };
    Router::new()
        .route("/dialogs", get(newest))
        .route("/dialogs/", get(newest))
        .route("/dialogs/{username}", get(with))
        .route("/dialogs/{username}/", get(with))
        .with_state(pages)
}

async fn newest(State(pages): State<Pages>, request: Request) -> Response {
    pages.answer(request.into_parts().0, None).await
}

async fn with(State(pages): State<Pages>, username: Named, request: Request) -> Response {
    pages.answer(request.into_parts().0, Some(&named(username))).await
}

impl Pages {
    async fn answer(&self, request: Parts, username: Option<&str>) -> Response {
        let headers = &request.headers;
        let session = cookie(headers, SESSION_COOKIE).unwrap_or_default();
        let caller = match self.caller(session, client_address(&request.extensions)).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return to_login(request.uri.path()),
            Err(refusal) => return trouble(&refusal),
        };
        // A page elsewhere that links here must not make dialogs in its reader's name.
        let opens = self.web.is_own_visit(headers);
        let turn = self.web.services().turn(caller.principal, Bulk::Others).await;
        match self.web.services().dialog_page(&caller, username, opens).await {
            Ok(page) => in_turn(self.show(&request, session, &page), turn),
            Err(refusal) => trouble(&refusal),
        }
    }

    async fn caller(&self, session: &str, address: IpAddr) -> Result<Option<Caller>, Refusal> {
        if session.is_empty() {
            return Ok(None);
        }
        let credentials = Credentials::Cookie(session.to_owned());
        match self.web.services().identify_request(&credentials, address).await {
            Ok(caller) => Ok(Some(caller)),
            Err(refusal) if refusal.is_our_fault() || refusal.is_too_often() => Err(refusal),
            Err(_) => Ok(None),
        }
    }

    fn show(&self, request: &Parts, session: &str, page: &DialogPage) -> Response {
        let base = self.base_for(request);
        let nonce = BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>());
        let opponent = page.with.as_ref().map_or("", |with| with.username.as_str());
        let settings = format!(
            "var base_ws_server_path = {};\nvar session_key = {};\nvar opponent_username = {};\n",
            script_text(&base),
            script_text(&self.web.services().session_key_of(session)),
            script_text(opponent),
        );
        let body = fill(&[
            ("nonce", &nonce),
            ("owner", &escape(&page.owner.username)),
            ("opponent", &escape(opponent)),
            ("list", &list(page)),
            ("messages", &self.messages(page)),
            ("settings", &settings),
            ("script", SCRIPT),
        ]);
        let sockets = base.split_once("://").map_or(String::new(), |(scheme, rest)| {
            format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
        });
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        let headers = [
            (CONTENT_SECURITY_POLICY, policy),
            (REFERRER_POLICY, "no-referrer".to_owned()),
            (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            // The key stands in it.
            (CACHE_CONTROL, "no-store".to_owned()),
        ];
        (headers, Html(body)).into_response()
    }

    /// The address of the WebSocket without key and name; ends in a slash.
    fn base_for(&self, request: &Parts) -> String {
        if !self.base.is_empty() {
            return format!("{}/", self.base.trim_end_matches('/'));
        }
        let public = self.web.shared.public_url.by_websocket();
        if !public.is_empty() {
            return format!("{public}/private-chat/");
        }
        let host = own_authority(&request.headers);
        let host = host.as_ref().map_or("localhost", Authority::as_str);
        let scheme = if self.web.is_secure(&request.extensions) { "wss" } else { "ws" };
        format!("{scheme}://{host}/private-chat/")
    }

    fn messages(&self, page: &DialogPage) -> String {
        let mut rows = String::new();
        for (shown, read) in &page.messages {
            let author = shown.sender.user().map_or("", |author| author.username.as_str());
            let Some(words) = plain::words(&shown.message, self.web.public_url()) else { continue };
            let read = if *read { "msg-read" } else { "msg-unread" };
            let other = if author == page.owner.username { "" } else { " opponent" };
            let _ = writeln!(
                rows,
                "<div class=\"row {read}{other}\" data-id=\"{}\"><p><b>{}</b> {}</p></div>",
                shown.message.id,
                escape(author),
                escape(&words),
            );
        }
        rows
    }
}

/// A link for each dialog, red or green.
fn list(page: &DialogPage) -> String {
    let mut links = String::new();
    for dialog in &page.list {
        let name = &dialog.with.username;
        let color = if dialog.with.online { "btn-success" } else { "btn-danger" };
        let path = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let _ = writeln!(
            links,
            "<li><a id=\"user-{}\" class=\"btn {color}\" href=\"/dialogs/{path}\">{}</a></li>",
            escape(name),
            escape(name),
        );
    }
    links
}

/// Puts texts into the page's places, in one pass, so that no text can name a place.
fn fill(texts: &[(&str, &str)]) -> String {
    let mut parts = PAGE.split("{{");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        let text = texts.iter().find(|(known, _)| *known == name);
        page.push_str(text.map_or("", |(_, text)| text));
        page.push_str(rest);
    }
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A text as it stands in a script inside a page.
fn script_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || " .,:/_-@+[]".contains(c) {
            quoted.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(quoted, "\\u{unit:04x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

fn to_login(path: &str) -> Response {
    let next = utf8_percent_encode(path, NON_ALPHANUMERIC);
    (StatusCode::FOUND, [(LOCATION, format!("/accounts/login/?next={next}"))]).into_response()
}

fn trouble(refusal: &Refusal) -> Response {
    let status = match refusal.kind() {
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = format!("<!doctype html><p>{}</p>", escape(&refusal.to_string()));
    let mut response = (status, Html(text)).into_response();
    if let RefusalKind::TooOften { retry_after } = refusal.kind() {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_place() {
        assert_eq!(script_text("ws://host:5002/"), "\"ws://host:5002/\"");
        assert_eq!(
            script_text("</script>\"'\\\n"),
            r#""\u003c/script\u003e\u0022\u0027\u005c\u000a""#
        );
        assert_eq!(script_text("é😀\u{2028}"), r#""\u00e9\ud83d\ude00\u2028""#);
        assert_eq!(escape("<a b=\"c\">&'"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
        let filled = fill(&[("owner", "{{opponent}}"), ("opponent", "X")]);
        assert!(filled.contains("value=\"{{opponent}}\""), "{filled}");
    }
}
