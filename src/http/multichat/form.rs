//! The form by which browsers log in, and the address by which they log out.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::chat::too_often;
use super::{Pages, SESSION_COOKIE, escape, go_to, page};
use crate::domain::{Refusal, RefusalKind};
use crate::http::Web;
use crate::http::identity::cookie;

/// The cookie that a form's token is compared with.
const FORM_COOKIE: &str = "csrftoken";
/// Where a browser goes afterwards, if it was not on its way somewhere.
const HOME: &str = "/";
/// What stays as it is in an address within an address.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// Asks who was led here by another site.
const LEAVE: &str = "<!DOCTYPE html><title>Log out</title>\
                     <form method=\"post\" action=\"/accounts/logout/\">\
                     <p>Another site has led you here. <button>Log out</button></p></form>";

/// What the address says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Way {
    next: Option<String>,
}

/// What the form says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    username: String,
    password: String,
    csrfmiddlewaretoken: String,
    next: Option<String>,
}

/// Where a browser without a login is sent from here.
pub(super) fn login_address(next: &str) -> String {
    format!("/accounts/login/?next={}", utf8_percent_encode(next, PATH))
}

/// A place on this site; anything else is taken for none.
fn own_place(next: Option<String>) -> Option<String> {
    let next = next?;
    let own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(char::is_control);
    (own && HeaderValue::from_str(&next).is_ok()).then_some(next)
}

/// Shows the form.
pub(super) async fn show(
    State(pages): State<Pages>,
    Query(way): Query<Way>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let visit = Visit::of(&pages.web, &headers, &extensions);
    form(&visit, StatusCode::OK, own_place(way.next).as_deref(), "", "")
}

/// What a form is made for.
struct Visit<'a> {
    web: &'a Web,
    headers: &'a HeaderMap,
    /// Whether cookies may insist on TLS.
    secure: bool,
}

impl<'a> Visit<'a> {
    fn of(web: &'a Web, headers: &'a HeaderMap, extensions: &Extensions) -> Self {
        Self { web, headers, secure: web.is_secure(extensions) }
    }
}

fn form(
    visit: &Visit<'_>,
    status: StatusCode,
    next: Option<&str>,
    username: &str,
    problem: &str,
) -> Response {
    let known = cookie(visit.headers, FORM_COOKIE).filter(|token| is_token(token));
    let token = known.map_or_else(|| visit.web.services().form_token(), str::to_owned);
    let problem = if problem.is_empty() {
        String::new()
    } else {
        format!("<p role=\"alert\">{}</p>", escape(problem))
    };
    let html = include_str!("login.html")
        .replace("{problem}", &problem)
        .replace("{token}", &token)
        .replace("{next}", &escape(next.unwrap_or_default()))
        .replace("{username}", &escape(username));
    let mut response = page(status, html);
    set_cookie(visit, &mut response, FORM_COOKIE, &token, None);
    response
}

fn is_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn set_cookie(
    visit: &Visit<'_>,
    response: &mut Response,
    name: &str,
    value: &str,
    age: Option<i64>,
) {
    let secure = if visit.secure { "; Secure" } else { "" };
    let age = age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}");
    if let Ok(line) = HeaderValue::try_from(line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
}

/// Takes the form.
pub(super) async fn take(
    State(pages): State<Pages>,
    Extension(address): Extension<IpAddr>,
    Query(way): Query<Way>,
    headers: HeaderMap,
    extensions: Extensions,
    entry: Result<Form<Entry>, FormRejection>,
) -> Response {
    let web = &pages.web;
    let visit = Visit::of(web, &headers, &extensions);
    let entry = match entry {
        Ok(Form(entry)) => entry,
        Err(refused) => {
            let too_large = refused.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let status =
                if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            return page(status, "This is not the form that is expected here.".into());
        }
    };
    let shown = cookie(&headers, FORM_COOKIE).filter(|token| is_token(token));
    let own = shown == Some(entry.csrfmiddlewaretoken.as_str()) && web.is_own_page(&headers);
    if !own {
        let text = "The form has come without its token. Load the page again.";
        return form(&visit, StatusCode::FORBIDDEN, None, "", text);
    }
    let next = own_place(entry.next.filter(|next| !next.is_empty()).or(way.next));
    let logged_in = web.services().log_in_browser(&entry.username, entry.password, address).await;
    match logged_in {
        Ok(login) => {
            let mut response = go_to(next.as_deref().unwrap_or(HOME));
            let (session, seconds) = (&login.session_id, login.seconds);
            set_cookie(&visit, &mut response, SESSION_COOKIE, session, Some(seconds));
            // Whoever knew the old token knows nothing of the new login's forms.
            let token = web.services().form_token();
            set_cookie(&visit, &mut response, FORM_COOKIE, &token, None);
            response
        }
        Err(refusal) => {
            let (status, text) = told(&refusal);
            let name = entry.username.as_str();
            let mut response = form(&visit, status, next.as_deref(), name, text);
            if let RefusalKind::TooOften { retry_after } = refusal.kind() {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
            }
            response
        }
    }
}

/// What somebody who was not let in reads; it does not tell which names there are.
fn told(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal.kind() {
        RefusalKind::TooOften { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "There were too many attempts. Try again later.")
        }
        RefusalKind::Unavailable | RefusalKind::Unknown => {
            (StatusCode::SERVICE_UNAVAILABLE, "This does not work right now. Try again later.")
        }
        _ => (StatusCode::OK, "The name or the password is wrong."),
    }
}

/// Ends the login.
pub(super) async fn leave(
    State(pages): State<Pages>,
    Extension(address): Extension<IpAddr>,
    method: Method,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let web = &pages.web;
    let visit = Visit::of(web, &headers, &extensions);
    if method == Method::POST && !web.is_own_page(&headers) {
        return page(StatusCode::FORBIDDEN, "Another site has asked for this.".into());
    }
    if method != Method::POST && !web.is_own_visit(&headers) {
        return page(StatusCode::FORBIDDEN, LEAVE.to_owned());
    }
    let left = match pages.caller(&headers, address).await {
        Ok(caller) => web.services().log_out(&caller).await,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &left
        && refusal.is_too_often()
    {
        return too_often(refusal);
    }
    if left.is_err_and(|refusal| refusal.is_our_fault()) {
        let text = "This does not work right now. Try again later.";
        return page(StatusCode::SERVICE_UNAVAILABLE, text.into());
    }
    let mut response = go_to("/accounts/login/");
    set_cookie(&visit, &mut response, SESSION_COOKIE, "", Some(0));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        let table = [
            ("/chat/", true),
            ("/dialogs/ann?x=1", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("/a\\b", false),
            ("https://evil.example/", false),
            ("/a\nb", false),
            ("chat", false),
            ("", false),
        ];
        for (next, own) in table {
            assert_eq!(own_place(Some(next.to_owned())).is_some(), own, "{next:?}");
        }
        assert_eq!(login_address("/a b/ü?x=1"), "/accounts/login/?next=/a%20b/%C3%BC%3Fx%3D1");
    }
}
