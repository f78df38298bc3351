//! Refusals as members-chat's HTTP answers: `detail` for people, `code` for programs.

use std::net::IpAddr;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serde_json::value::RawValue;

use super::Web;
use super::collect::{Collecting, NotWhole, UNTRUSTED_BYTES};
use crate::domain::{Credentials, Refusal, RefusalKind};
use crate::json::{self, Object};
use crate::service::Caller;
use crate::telemetry;

/// It was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<u64>,
}

impl Complaint {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// Something that was sent is malformed, missing or of the wrong type.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", detail)
    }

    /// There is no token, or no good one.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Not authenticated")
    }
}

impl From<Refusal> for Complaint {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal.kind() {
            RefusalKind::Unidentified | RefusalKind::Expired | RefusalKind::WrongPassword => {
                Self::unauthorized()
            }
            RefusalKind::Inactive => Self::new(StatusCode::FORBIDDEN, "inactive", detail),
            RefusalKind::Forbidden => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            RefusalKind::NotFound | RefusalKind::Offline => {
                Self::new(StatusCode::NOT_FOUND, "not_found", detail)
            }
            RefusalKind::Conflict | RefusalKind::RoomFull => {
                Self::new(StatusCode::CONFLICT, "conflict", detail)
            }
            RefusalKind::Malformed => Self::invalid(detail),
            RefusalKind::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            }
            RefusalKind::TooOften { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            },
            RefusalKind::TooManyConnections => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            }
            RefusalKind::TooPoor { .. } => {
                Self::new(StatusCode::CONFLICT, "insufficient_balance", detail)
            }
            RefusalKind::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            RefusalKind::Unknown => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", detail),
        }
    }
}

impl IntoResponse for Complaint {
    fn into_response(self) -> Response {
        telemetry::count_refusal("members_chat_http", self.code);
        let body = json!({ "detail": self.detail, "code": self.code });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The user whose token stands in the header.
pub(super) async fn caller(
    web: &Web,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Caller, Complaint> {
    let line = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) =
        line.unwrap_or_default().trim().split_once([' ', '\t']).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        web.services().pace_stranger(address)?;
        return Err(Complaint::unauthorized());
    }
    caller_by(web, token.trim(), address).await
}

/// The user whose token this is.
pub(super) async fn caller_by(
    web: &Web,
    token: &str,
    address: IpAddr,
) -> Result<Caller, Complaint> {
    let credentials = Credentials::Token(token.to_owned());
    let identified = web.services().identify_request(&credentials, address).await;
    match identified {
        Ok(caller) if caller.principal.user().is_some() => Ok(caller),
        Err(refusal) if refusal.is_our_fault() || refusal.is_too_often() => Err(refusal.into()),
        Ok(_) | Err(_) => Err(Complaint::unauthorized()),
    }
}

/// The declared keys of a body, which is a JSON object.
#[derive(Debug)]
pub(super) struct Fields(Vec<(&'static str, Box<RawValue>)>);

impl Fields {
    /// Reads these keys of the body of somebody who has said who it is, of at most `limit` bytes.
    pub(super) async fn read(
        body: Body,
        limit: usize,
        names: &[&'static str],
    ) -> Result<Self, Complaint> {
        let reading = Collecting::begin(&HeaderMap::new(), body, limit).map_err(Refusal::from)?;
        let bytes = reading.whole().await.map_err(|why| match why {
            NotWhole::TooLarge(_) => Complaint::from(Refusal::from(why)),
            NotWhole::Broken => Complaint::invalid("the body did not arrive whole"),
        })?;
        let text = std::str::from_utf8(&bytes).map(json::tidy).unwrap_or_default();
        let object = Object::read(&text, names).filter(|_| json::is_sound(&text));
        let object = object.ok_or_else(|| Complaint::invalid("the body must be a JSON object"))?;
        Ok(Self(object.iter().map(|(name, raw)| (name, raw.to_owned())).collect()))
    }

    /// Reads these keys of the body of somebody unknown.
    pub(super) async fn of_stranger(
        body: Body,
        limit: usize,
        names: &[&'static str],
    ) -> Result<Self, Complaint> {
        Self::read(body, limit.min(UNTRUSTED_BYTES), names).await
    }

    /// The JSON text that stands under a key, `null` included.
    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, raw)| &**raw)
    }

    fn known(&self, name: &str) -> Option<&RawValue> {
        self.get(name).filter(|raw| !json::is_null(raw))
    }

    /// A text, without its U+0000.
    pub(super) fn text(&self, name: &str) -> Result<String, Complaint> {
        match self.get(name) {
            Some(raw) => match json::string(raw) {
                Some(text) => Ok(text.replace('\0', "")),
                None => Err(Complaint::invalid(format!("{name} must be a string"))),
            },
            None => Err(Complaint::invalid(format!("{name} is missing"))),
        }
    }

    /// A text that may be absent, of at most so many characters.
    pub(super) fn short(&self, name: &str, most: usize) -> Result<String, Complaint> {
        let text = match self.known(name) {
            None => String::new(),
            Some(_) => self.text(name)?,
        };
        if text.chars().count() > most {
            let text = format!("{name} may have at most {most} characters");
            return Err(Complaint::invalid(text));
        }
        Ok(text)
    }

    /// A flag that may be absent.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Complaint> {
        match self.get(name) {
            None => Ok(None),
            Some(raw) => match json::boolean(raw) {
                Some(flag) => Ok(Some(flag)),
                None => Err(Complaint::invalid(format!("{name} must be a boolean"))),
            },
        }
    }

    /// A whole number that may be absent.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Complaint> {
        match self.get(name) {
            None => Ok(None),
            Some(raw) => match json::integer(raw) {
                Some(number) => Ok(Some(number)),
                None => Err(Complaint::invalid(format!("{name} must be an integer"))),
            },
        }
    }
}
