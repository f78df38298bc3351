//! Refusals as NEO's HTTP answers, and the shape of every answer.
//!
//! Every answer is a JSON object with `success`: a known client crashes on anything else.
//! A route that answers a kind of refusal with another status than usual says so by `at`.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::domain::{Refusal, RefusalKind};
use crate::telemetry;

/// What a route answers.
pub type Answer = Result<Success, Failure>;

/// It was done.
#[derive(Debug)]
pub struct Success {
    status: StatusCode,
    headers: HeaderMap,
    keys: Map<String, Value>,
    whole: Option<Response>,
}

impl Default for Success {
    fn default() -> Self {
        let keys = Map::from_iter([("success".to_owned(), Value::Bool(true))]);
        Self { status: StatusCode::OK, headers: HeaderMap::new(), keys, whole: None }
    }
}

impl Success {
    /// Done, with something to show under `content`.
    pub fn content(content: impl Into<Value>) -> Self {
        Self::default().with("content", content)
    }

    /// The same with one more key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// The whole answer, for what is too large to be put together in memory.
    #[must_use]
    pub fn whole(mut self, response: Response) -> Self {
        self.whole = Some(response);
        self
    }

    /// The same with another status than 200.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        if let Some(whole) = self.whole {
            return whole;
        }
        (self.status, self.headers, Json(Value::Object(self.keys))).into_response()
    }
}

/// It was not done.
#[derive(Debug)]
pub struct Failure {
    refusal: Refusal,
    status: StatusCode,
}

impl Failure {
    /// A refusal under a status of its own.
    pub const fn new(status: StatusCode, refusal: Refusal) -> Self {
        Self { refusal, status }
    }

    /// The same, with this status if it is of this kind.
    #[must_use]
    pub fn at(mut self, kind: RefusalKind, status: StatusCode) -> Self {
        if self.refusal.kind() == kind {
            self.status = status;
        }
        self
    }

    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind() {
            RefusalKind::Unidentified | RefusalKind::Expired | RefusalKind::WrongPassword => {
                StatusCode::UNAUTHORIZED
            }
            RefusalKind::Inactive | RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::TooPoor { .. } => StatusCode::PAYMENT_REQUIRED,
            RefusalKind::NotFound | RefusalKind::Offline => StatusCode::NOT_FOUND,
            RefusalKind::Conflict | RefusalKind::RoomFull => StatusCode::CONFLICT,
            RefusalKind::Malformed => StatusCode::BAD_REQUEST,
            RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RefusalKind::TooOften { .. } | RefusalKind::TooManyConnections => {
                StatusCode::TOO_MANY_REQUESTS
            }
            RefusalKind::Unavailable | RefusalKind::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { refusal, status }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.refusal.code();
        telemetry::count_refusal("neo_http", code);
        let mut body = json!({ "success": false, "message": self.refusal.to_string() });
        if self.refusal.kind() == RefusalKind::Unknown {
            // Only here does a client have to know more than the status says.
            body["code"] = code.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if let RefusalKind::TooOften { retry_after } = self.refusal.kind() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
        }
        response
    }
}

/// A status per kind of refusal, for results of the services.
pub trait At<T> {
    /// Answers this kind of refusal with this status.
    fn at(self, kind: RefusalKind, status: StatusCode) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> At<T> for Result<T, E> {
    fn at(self, kind: RefusalKind, status: StatusCode) -> Result<T, Failure> {
        self.map_err(|refusal| refusal.into().at(kind, status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_may_answer_a_kind_with_a_status_of_its_own() {
        let wrong = || Refusal::new(RefusalKind::WrongPassword, "wrong password");
        let refused: Result<(), _> = Err(wrong());
        let at = refused.at(RefusalKind::WrongPassword, StatusCode::EXPECTATION_FAILED);
        assert_eq!(at.unwrap_err().status(), StatusCode::EXPECTATION_FAILED);
        assert_eq!(Failure::from(wrong()).status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn who_came_too_often_is_told_when_to_return() {
        let refusal = Refusal::new(RefusalKind::TooOften { retry_after: 7 }, "too many attempts");
        let response = Failure::from(refusal).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_told_apart_from_a_failure_that_stored_nothing() {
        for (refusal, code) in
            [(Refusal::unknown(), json!("unknown")), (Refusal::unavailable(), Value::Null)]
        {
            let response = Failure::from(refusal).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&body["success"], &body["code"]), (&json!(false), &code));
        }
    }
}
