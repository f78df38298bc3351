//! Accounts of people: register, log in and out, show and change (6.2).

use axum::http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::route::{Ask, Route, Verb};
use crate::domain::{Conversation, Membership, Refusal, RefusalKind, Timestamp, UserId};
use crate::http::Web;
use crate::http::body::{number_key, text_key};
use crate::http::error::{Answer, At, Success};
use crate::http::identity::{DEVICE_COOKIE, USER_COOKIE, Who};
use crate::service::{Bulk, Modification, Profile, Registration};
use crate::wire::neo::{self as shape, Dates};

/// Bytes of a token that a cookie may hold.
const COOKIE_BYTES: usize = 3800;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/account/create", "Makes an account.", create)
            .takes([text_key("email"), text_key("password"), text_key("first_name")])
            .takes([text_key("last_name"), text_key("birthday")])
            .status(201)
            .fails([400, 403, 409, 429]),
        Route::post("/account/login", "Logs in; tells the user's circles.", log_in)
            .takes([text_key("email"), text_key("password")])
            .gives([("token", "text")])
            .fails([401, 403, 404, 429]),
        Route::post("/account/logout", "Ends this login; tells the user's circles.", log_out)
            .by(Who::User),
        Route::post("/token/verify", "Says whether the token is good.", verify)
            .by(Who::User)
            .gives([("message", "text")])
            .fails([404]),
        Route::post("/user/info", "Shows an account, without `user_id` one's own.", info)
            .alias("/account/info")
            .twin("/user/info/{user_id}")
            .lists(Bulk::Others)
            .by(Who::Either)
            .takes([number_key("user_id").optional()])
            .gives([("content", "User.content")])
            .fails([403, 404]),
        Route::post("/account/modify", "Changes one's account.", modify)
            .or(Verb::Put)
            .by(Who::User)
            .takes([text_key("email").optional(), text_key("first_name").optional()])
            .takes([text_key("last_name").optional(), text_key("birthday").optional()])
            .fails([400, 409]),
        Route::post(
            "/account/modify/password",
            "Changes the password; ends other logins.",
            password,
        )
        .or(Verb::Put)
        .by(Who::User)
        .takes([text_key("email"), text_key("previous_password"), text_key("new_password")])
        .fails([400, 404, 417, 429]),
        Route::post("/email/available", "Says whether an address is free.", available)
            .alias("/account/create/available")
            .twin("/email/available/{email}")
            .takes([text_key("email")]),
        Route::post("/android/token", "Notes where pushes go.", android_token)
            .by(Who::User)
            .takes([text_key("android_token")]),
        Route::post("/api/token", "A token that tells chat bots who one is.", api_token)
            .by(Who::User)
            .gives([("api_token", "text")]),
        Route::post("/cookies/set/token", "Puts a token into a cookie.", set_cookie)
            .or(Verb::Put)
            .takes([text_key("token").optional(), text_key("device_token").optional()])
            .fails([400, 403]),
    ]
}

async fn create(web: Web, ask: Ask) -> Answer {
    let new = Registration {
        email: ask.keys.text("email")?,
        password: ask.keys.text("password")?,
        first_name: ask.keys.text("first_name")?,
        last_name: ask.keys.text("last_name")?,
        birthday: Some(day(&ask.keys.text("birthday")?)?),
    };
    web.services().register(new, ask.address).await?;
    Ok(Success::default().status(StatusCode::CREATED))
}

async fn log_in(web: Web, ask: Ask) -> Answer {
    let (email, password) = (ask.keys.text("email")?, ask.keys.text("password")?);
    let token = web.services().log_in(&email, password, ask.address).await?;
    Ok(Success::default().with("token", token))
}

async fn log_out(web: Web, ask: Ask) -> Answer {
    web.services().log_out(ask.caller()?).await?;
    Ok(Success::default())
}

async fn verify(_: Web, _: Ask) -> Answer {
    Ok(Success::default().with("message", "the token is good"))
}

async fn info(web: Web, ask: Ask) -> Answer {
    let caller = ask.caller()?;
    let id = ask.keys.maybe_number("user_id", UserId::new)?.or(caller.principal.user());
    let id = id.ok_or_else(|| Refusal::malformed("user_id is missing"))?;
    let profile = web.services().profile(caller, id).await?;
    Ok(Success::content(user_content(&profile)))
}

async fn modify(web: Web, ask: Ask) -> Answer {
    let wish = Modification {
        email: ask.keys.maybe_text("email")?,
        first_name: ask.keys.maybe_text("first_name")?,
        last_name: ask.keys.maybe_text("last_name")?,
        birthday: ask.keys.maybe_text("birthday")?.as_deref().map(day).transpose()?,
    };
    web.services().modify(ask.caller()?, wish).await?;
    Ok(Success::default())
}

async fn password(web: Web, ask: Ask) -> Answer {
    let (email, previous) = (ask.keys.text("email")?, ask.keys.text("previous_password")?);
    let new = ask.keys.text("new_password")?;
    web.services()
        .change_password(ask.caller()?, &email, previous, new)
        .await
        .at(RefusalKind::WrongPassword, StatusCode::EXPECTATION_FAILED)?;
    Ok(Success::default())
}

/// The one route whose failure is a success of the wire: a client reads `success` alone.
async fn available(web: Web, ask: Ask) -> Answer {
    let free = web.services().is_email_free(&ask.keys.text("email")?).await?;
    Ok(Success::default().with("success", free))
}

async fn android_token(web: Web, ask: Ask) -> Answer {
    let token = ask.keys.text("android_token")?;
    web.services().set_android_token(ask.caller()?, token).await?;
    Ok(Success::default())
}

async fn api_token(web: Web, ask: Ask) -> Answer {
    let token = web.services().introduce_to_bots(ask.caller()?).await?;
    Ok(Success::default().with("api_token", token))
}

async fn set_cookie(_: Web, ask: Ask) -> Answer {
    if !ask.is_own_page {
        // Whoever sets the cookie chooses as whom this browser goes on.
        return Err(Refusal::forbidden("a page of another site may not set this cookie").into());
    }
    let tokens = [(DEVICE_COOKIE, "device_token"), (USER_COOKIE, "token")];
    let mut success = Success::default();
    let mut given = false;
    for (name, key) in tokens {
        let Some(token) = ask.keys.maybe_text(key)? else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if token.is_empty() || token.len() > COOKIE_BYTES || !token.chars().all(plain) {
            return Err(Refusal::malformed(format!("{key} is not a token")).into());
        }
        let secure = if ask.is_secure { "; Secure" } else { "" };
        let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}");
        let cookie =
            HeaderValue::try_from(cookie).map_err(|_| Refusal::malformed("not a token"))?;
        success = success.header(header::SET_COOKIE, cookie);
        given = true;
    }
    if !given {
        return Err(Refusal::malformed("token or device_token is missing").into());
    }
    Ok(success)
}

fn day(text: &str) -> Result<Timestamp, Refusal> {
    shape::read_day(text).ok_or_else(|| Refusal::malformed("birthday is not a date"))
}

/// User.content.
fn user_content(profile: &Profile) -> Value {
    let Profile { user, circles, invites, conversations, medias } = profile;
    let mut content = shape::user_simple(user, Dates::Rest);
    let circles = circles.iter();
    content["hangout"] = json!(false);
    content["facebook"] = json!(false);
    content["ios_token"] = json!(false);
    content["circles"] = circles
        .map(|(link, circle)| shape::user_circle_user_view(link, circle, Dates::Rest))
        .collect();
    let invites = invites.iter();
    content["invites"] = invites
        .map(|(invite, circle)| shape::invite_user_view(invite, circle, Dates::Rest))
        .collect();
    content["conversations"] = conversations.iter().map(user_conversation).collect();
    let medias = medias.iter();
    content["medias"] =
        medias.map(|media| shape::user_media_content(media, user, Dates::Rest)).collect();
    content
}

fn user_conversation((membership, conversation): &(Membership, Conversation)) -> Value {
    shape::user_conversation_simple(membership, conversation.circle, Dates::Rest)
}
