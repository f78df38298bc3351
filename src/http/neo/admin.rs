//! What administrators of the server do (6.8).

use serde_json::json;

use super::route::{Ask, Route, Verb};
use crate::domain::{CircleId, ConversationId, DeviceId, Refusal, UserId};
use crate::http::Web;
use crate::http::body::{Key, number_key, text_key};
use crate::http::error::{Answer, Success};
use crate::http::identity::Who;
use crate::wire::neo::{self as shape, Dates};

const CIRCLE: Key = number_key("circle_id");
const CONVERSATION: Key = number_key("conversation_id");
const DEVICE: Key = number_key("device_id");

pub(super) fn routes() -> Vec<Route> {
    let routes = vec![
        Route::post("/admin/account/promote", "Makes a user an administrator.", promote)
            .takes([number_key("user_id")])
            .fails([403, 404]),
        Route::post("/admin/circle/delete", "Removes a circle; tells it.", delete_circle)
            .or(Verb::Delete)
            .takes([CIRCLE])
            .fails([403, 404]),
        Route::post(
            "/admin/conversation/create",
            "Makes an empty conversation.",
            create_conversation,
        )
        .takes([text_key("conversation_name"), CIRCLE])
        .gives([("content", "Conversation.simple")])
        .fails([403, 404]),
        Route::post("/admin/conversation/delete", "Removes a conversation.", delete_conversation)
            .or(Verb::Delete)
            .takes([CONVERSATION])
            .fails([403, 404]),
        Route::post("/admin/device/create", "Makes a circle's device; tells it.", create_device)
            .takes([CIRCLE, text_key("name"), text_key("username").optional()])
            .fails([403, 404, 409]),
        Route::post("/admin/device/delete", "Removes a device.", delete_device)
            .takes([DEVICE])
            .fails([403, 404]),
        Route::post("/admin/device/activate", "Switches a device on.", activate_device)
            .takes([DEVICE, text_key("activation_key")])
            .fails([400, 403, 404]),
        Route::post("/admin/device/credentials", "Shows what sets a device up.", credentials)
            .takes([DEVICE])
            .gives([("content", "{key: text, username: text, password: text}")])
            .fails([400, 403, 404]),
        Route::post("/admin/device/list", "Lists the devices a user administrates.", list_devices)
            .takes([text_key("email")])
            .gives([("devices", "[Device.simple]")])
            .fails([400, 403, 404]),
    ];
    routes.into_iter().map(|route| route.by(Who::Admin)).collect()
}

async fn promote(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("user_id", UserId::new)?;
    web.services().promote_account(ask.caller()?, id).await?;
    Ok(Success::default())
}

async fn delete_circle(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("circle_id", CircleId::new)?;
    web.services().remove_circle(ask.caller()?, id).await?;
    Ok(Success::default())
}

async fn create_conversation(web: Web, ask: Ask) -> Answer {
    let circle = ask.keys.number("circle_id", CircleId::new)?;
    let title = ask.keys.text("conversation_name")?;
    let made = web.services().add_conversation(ask.caller()?, circle, &title).await?;
    Ok(Success::content(shape::conversation_simple(&made, Dates::Rest)))
}

async fn delete_conversation(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("conversation_id", ConversationId::new)?;
    web.services().remove_conversation(ask.caller()?, id).await?;
    Ok(Success::default())
}

async fn create_device(web: Web, ask: Ask) -> Answer {
    let circle = ask.keys.number("circle_id", CircleId::new)?;
    let (name, username) = (ask.keys.text("name")?, ask.keys.maybe_text("username")?);
    web.services().add_device(ask.caller()?, circle, name, username).await?;
    Ok(Success::default())
}

async fn delete_device(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("device_id", DeviceId::new)?;
    web.services().remove_device(ask.caller()?, id).await?;
    Ok(Success::default())
}

async fn activate_device(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("device_id", DeviceId::new)?;
    let key = ask.keys.text("activation_key")?;
    web.services().activate_device(ask.caller()?, id, &key).await?;
    Ok(Success::default())
}

async fn credentials(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("device_id", DeviceId::new)?;
    let keys = web.services().show_device_keys(ask.caller()?, id).await?;
    let gone = || Refusal::malformed("the first password is no longer known");
    let password = keys.password.ok_or_else(gone)?;
    let content = json!({ "key": keys.key, "username": keys.username, "password": password });
    Ok(Success::content(content))
}

async fn list_devices(web: Web, ask: Ask) -> Answer {
    let devices = web.services().list_devices_of(ask.caller()?, &ask.keys.text("email")?).await?;
    if devices.is_empty() {
        return Err(Refusal::malformed("this user administrates no device").into());
    }
    let devices = devices.iter().map(|device| shape::device_simple(device, Dates::Rest));
    Ok(Success::default().with("devices", devices.collect::<Vec<_>>()))
}
