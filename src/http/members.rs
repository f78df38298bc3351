//! Accounts of members-chat: registered, logged in, shown, and changed by superusers.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch, post};
use axum::{Json, http::request::Parts};
use serde_json::{Value, json};

use super::complaint::{Complaint, Fields, caller};
use super::layers::client_address;
use super::{Named, Web, named};
use crate::domain::{Email, RefusalKind, Timestamp, User, UserId};
use crate::json;
use crate::service::{Amended, Amount, Caller, Registration, UserChange};
use crate::wire::members_chat::{date, read_date};

/// Characters of a name of a person.
const NAME: usize = 50;
/// Characters of an address.
const EMAIL: usize = 120;
/// Characters of a password.
const PASSWORD: usize = 256;

/// The routes, each with and without a slash at its end.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .merge(both("/auth/register", post(register)))
        .merge(both("/auth/login", post(log_in)))
        .merge(both("/members/me", get(me)))
        .merge(both("/members/{id}", patch(amend)))
        .method_not_allowed_fallback(wrong_verb)
}

/// The same route under both forms of its address.
pub(super) fn both(path: &str, route: MethodRouter<Web>) -> Router<Web> {
    Router::new().route(path, route.clone()).route(&format!("{path}/"), route)
}

/// What is answered to a verb that an address does not take.
pub(super) async fn wrong_verb() -> Complaint {
    let text = "this address does not take this verb";
    Complaint::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
}

async fn register(State(web): State<Web>, request: Request) -> Result<Response, Complaint> {
    let address = client_address(request.extensions());
    web.services().pace_stranger(address)?;
    let names = ["email", "password", "repeat_password", "first_name", "last_name"];
    let fields = Fields::of_stranger(request.into_body(), web.body_bytes(), &names).await?;
    let (email, password) = (fields.text("email")?, fields.text("password")?);
    let repeated = fields.text("repeat_password")?;
    let first_name = fields.short("first_name", NAME)?;
    let last_name = fields.short("last_name", NAME)?;
    let wrong = |code, text: String| Complaint::new(StatusCode::UNPROCESSABLE_ENTITY, code, text);
    if password != repeated {
        return Err(wrong("password_mismatch", "The passwords differ.".to_owned()));
    }
    let email = email.trim().to_lowercase();
    if Email::new(&email).is_none() || email.chars().count() > EMAIL {
        return Err(wrong("invalid_email", "This is not an e-mail address.".to_owned()));
    }
    let (length, least) = (password.chars().count(), web.services().min_password_length());
    if length < least {
        let text = format!("A password has at least {least} characters.");
        return Err(wrong("password_too_short", text));
    }
    if length > PASSWORD {
        let text = format!("A password has at most {PASSWORD} characters.");
        return Err(wrong("password_too_long", text));
    }
    let new = Registration { email, password, first_name, last_name, birthday: None };
    let user = web.services().register(new, address).await;
    let user = user.map_err(|refusal| {
        let text = refusal.to_string();
        if refusal.kind() == RefusalKind::Conflict {
            return Complaint::new(StatusCode::CONFLICT, "email_taken", text);
        }
        if refusal.kind() == RefusalKind::Forbidden {
            return Complaint::new(StatusCode::FORBIDDEN, "registration_closed", text);
        }
        refusal.into()
    })?;
    let body = json!({
        "id": user.id.get(),
        "email": user.email,
        "is_superuser": user.superuser,
        "is_employee": user.employee,
        "is_premium": is_premium(&user, web.services().now()),
        "balance": user.balance,
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn log_in(State(web): State<Web>, request: Request) -> Result<Json<Value>, Complaint> {
    let address = client_address(request.extensions());
    web.services().pace_stranger(address)?;
    let names = ["email", "password"];
    let fields = Fields::of_stranger(request.into_body(), web.body_bytes(), &names).await?;
    let (email, password) = (fields.text("email")?, fields.text("password")?);
    let token = web.services().log_in(&email, password, address).await;
    let token = token.map_err(|refusal| match refusal.kind() {
        RefusalKind::NotFound | RefusalKind::WrongPassword | RefusalKind::Malformed => {
            let text = "Incorrect email or password";
            Complaint::new(StatusCode::UNAUTHORIZED, "bad_credentials", text)
        }
        _ => refusal.into(),
    })?;
    let own = super::complaint::caller_by(&web, &token, address).await?;
    Ok(Json(json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": web.services().token_lifetime(),
        "member_id": own.principal.user().map(UserId::get),
    })))
}

async fn me(State(web): State<Web>, request: Request) -> Result<Json<Value>, Complaint> {
    let (parts, _) = request.into_parts();
    let caller = asking(&web, &parts).await?;
    let user = web.services().own_account(&caller).await?;
    Ok(Json(member(&user, web.services().now())))
}

async fn amend(
    State(web): State<Web>,
    id: Named,
    request: Request,
) -> Result<Json<Value>, Complaint> {
    let (parts, body) = request.into_parts();
    let caller = superuser(&web, &parts).await?;
    let absent = || Complaint::new(StatusCode::NOT_FOUND, "member_not_found", "no such member");
    let id = named(id).parse().map(UserId::new).map_err(|_| absent())?;
    let change = read_change(body, &web).await?;
    match web.services().amend_account(&caller, id, change).await? {
        Amended::To(user) => Ok(Json(member(&user, web.services().now()))),
        Amended::BadBalance(balance) => {
            let text = format!("The balance is {balance}; this would make it impossible.");
            Err(Complaint::new(StatusCode::CONFLICT, "insufficient_balance", text))
        }
        Amended::Gone => Err(absent()),
    }
}

async fn read_change(body: Body, web: &Web) -> Result<UserChange, Complaint> {
    let names = ["premium_until", "balance_delta", "is_superuser", "is_employee", "is_active"];
    let fields = Fields::read(body, web.body_bytes(), &names).await?;
    let premium_until = match fields.get("premium_until") {
        None => None,
        Some(raw) if json::is_null(raw) => Some(None),
        Some(raw) => {
            let known = json::string(raw).and_then(|text| read_date(&text));
            let wrong = || Complaint::invalid("premium_until must be a date or null");
            Some(Some(known.ok_or_else(wrong)?))
        }
    };
    Ok(UserChange {
        balance: fields.number("balance_delta")?.map(Amount::More),
        superuser: fields.flag("is_superuser")?,
        employee: fields.flag("is_employee")?,
        active: fields.flag("is_active")?,
        premium_until,
        ..UserChange::default()
    })
}

/// Who asks, by the token in the header.
pub(super) async fn asking(web: &Web, parts: &Parts) -> Result<Caller, Complaint> {
    caller(web, &parts.headers, client_address(&parts.extensions)).await
}

/// The superuser who asks.
pub(super) async fn superuser(web: &Web, parts: &Parts) -> Result<Caller, Complaint> {
    let caller = asking(web, parts).await?;
    match web.services().require_administrator(&caller).await {
        Ok(_) => Ok(caller),
        Err(refusal) if refusal.kind() == RefusalKind::Forbidden => {
            Err(Complaint::new(StatusCode::FORBIDDEN, "forbidden", "Superuser required"))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn is_premium(user: &User, now: Timestamp) -> bool {
    user.premium_until.is_some_and(|until| until > now)
}

fn member(user: &User, now: Timestamp) -> Value {
    json!({
        "id": user.id.get(),
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "balance": user.balance,
        "is_superuser": user.superuser,
        "is_employee": user.employee,
        "is_premium": is_premium(user, now),
        "premium_until": user.premium_until.map(date),
    })
}
