//! Devices: log in and out, show, rename, buy on trial (6.7).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::lists::{BEGINNING, write_simple};
use super::route::{Ask, Route, Verb};
use crate::domain::{Circle, CircleId, Device, DeviceId, Media, Refusal, RefusalKind};
use crate::http::Web;
use crate::http::body::{Key, number_key, text_key};
use crate::http::error::{Answer, At, Failure, Success};
use crate::http::identity::Who;
use crate::http::streaming::{self, Interrupted, Object, Writer};
use crate::service::{Bulk, DeviceContent};
use crate::wire::neo::{self as shape, Dates};

const DEVICE: Key = number_key("device_id");
const USERNAME: Key = text_key("device_username");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/device/authenticate", "Logs a device in; tells its circle.", log_in)
            .takes([USERNAME, text_key("device_password")])
            .gives([("device_token", "text")])
            .fails([401, 404, 429]),
        Route::post("/device/logout", "Ends this login; tells the device's circle.", log_out)
            .by(Who::Device),
        Route::post("/device/token/verify", "Says whether the token is good.", verify)
            .by(Who::Device)
            .fails([412]),
        Route::post("/device/modify/password", "Changes the password; ends all logins.", password)
            .or(Verb::Put)
            .takes([USERNAME, text_key("previous_password"), text_key("new_password")])
            .fails([400, 404, 429]),
        Route::post("/device/info", "Shows a device; a device without `device_id` itself.", info)
            .twin("/device/info/{device_id}")
            .by(Who::Either)
            .lists(Bulk::Messages)
            .takes([DEVICE.optional()])
            .gives([("content", "Device.content")])
            .fails([403, 404]),
        Route::post("/device/update", "Renames a device; tells its circle.", update)
            .or(Verb::Put)
            .by(Who::Either)
            .takes([DEVICE, text_key("name").optional()])
            .fails([403, 404]),
        Route::post("/device/username/available", "Says whether a user name is free.", available)
            .twin("/device/username/available/{device_username}")
            .takes([USERNAME])
            .fails([400]),
        Route::post("/device/buy", "A trial purchase of a circle's device.", buy)
            .by(Who::User)
            .takes([number_key("circle_id"), text_key("device_name").optional()])
            .gives([("content", "Device.content")])
            .fails([400, 403, 409]),
    ]
}

async fn log_in(web: Web, ask: Ask) -> Answer {
    let (username, password) =
        (ask.keys.text("device_username")?, ask.keys.text("device_password")?);
    let token = web
        .services()
        .log_device_in(&username, password, ask.address)
        .await
        .at(RefusalKind::Inactive, StatusCode::UNAUTHORIZED)?;
    Ok(Success::default().with("device_token", token))
}

async fn log_out(web: Web, ask: Ask) -> Answer {
    web.services().log_device_out(ask.caller()?).await?;
    Ok(Success::default())
}

async fn verify(_: Web, _: Ask) -> Answer {
    Ok(Success::default())
}

async fn password(web: Web, ask: Ask) -> Answer {
    let (username, previous) =
        (ask.keys.text("device_username")?, ask.keys.text("previous_password")?);
    let new = ask.keys.text("new_password")?;
    web.services()
        .change_device_password(&username, previous, new, ask.address)
        .await
        .at(RefusalKind::WrongPassword, StatusCode::BAD_REQUEST)?;
    Ok(Success::default())
}

async fn info(web: Web, ask: Ask) -> Answer {
    let caller = ask.caller()?;
    let id = ask.keys.maybe_number("device_id", DeviceId::new)?.or(caller.principal.device());
    let id = id.ok_or_else(|| Refusal::malformed("device_id is missing"))?;
    let content = web.services().device_content(caller, id).await?;
    let answer = streaming::respond(|out| write_content(out, content)).await?;
    Ok(Success::default().whole(answer))
}

async fn update(web: Web, ask: Ask) -> Answer {
    let (id, name) = (ask.keys.number("device_id", DeviceId::new)?, ask.keys.maybe_text("name")?);
    web.services().rename_device(ask.caller()?, id, name).await?;
    Ok(Success::default())
}

async fn available(web: Web, ask: Ask) -> Answer {
    if web.services().is_device_name_free(&ask.keys.text("device_username")?).await? {
        return Ok(Success::default());
    }
    let taken = Refusal::conflict("the user name is taken");
    Err(Failure::new(StatusCode::BAD_REQUEST, taken))
}

async fn buy(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("circle_id", CircleId::new)?;
    let name = ask.keys.maybe_text("device_name")?;
    web.services().require_device_sale()?;
    let content = web
        .services()
        .buy_device(ask.caller()?, id, name)
        .await
        .at(RefusalKind::NotFound, StatusCode::BAD_REQUEST)
        .at(RefusalKind::Forbidden, StatusCode::BAD_REQUEST)?;
    let answer = streaming::respond(|out| write_content(out, content)).await?;
    Ok(Success::default().whole(answer))
}

/// Device.content.
async fn write_content(mut out: Writer, content: DeviceContent) -> Result<Writer, Interrupted> {
    let DeviceContent { device, circle, messages, medias } = content;
    out.text(BEGINNING).await?;
    let mut whole = Object::new(device_content(&device, circle.as_ref(), &medias));
    whole.until(&mut out, "messages").await?;
    write_simple(&mut out, &messages).await?;
    whole.end(&mut out).await?;
    out.text("}").await?;
    Ok(out)
}

/// The same without its messages, for which an empty list stands.
fn device_content(device: &Device, circle: Option<&Circle>, medias: &[Media]) -> Value {
    let medias = medias.iter();
    json!({
        "id": device.id,
        "name": device.name,
        "created": Dates::Rest.json(device.created),
        "updated": Dates::Rest.json(device.updated),
        "activated": device.activated,
        "username": device.username,
        "is_online": device.online,
        "circle": circle
            .map_or_else(|| json!({}), |circle| shape::circle_simple(circle, Dates::Rest)),
        "messages": [],
        "medias": medias
            .map(|media| shape::device_media_content(media, device, Dates::Rest))
            .collect::<Value>(),
    })
}
