//! Messages (protocols/neo.md, 6.5), and the lists of messages with their additive paging.

use axum::http::StatusCode;

use super::lists::{BEGINNING, write_contents};
use super::route::{Ask, Route, Verb};
use crate::domain::{
    CircleId, ClientRef, ConversationId, Dialect, Draft, MessageId, Posted, Refusal, RefusalKind,
};
use crate::http::Web;
use crate::http::body::{Key, flag_key, list_key, number_key, text_key};
use crate::http::error::{Answer, At, Success};
use crate::http::identity::Who;
use crate::http::streaming::{self, Writer};
use crate::json;
use crate::service::{Bulk, FirstMessage, ListFrom};
use crate::wire::neo::{Dates, media_list, message_content};

/// The routes, in the page's order.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = first_messages();
    routes.extend([
        Route::post("/message/send", "Posts a message.", send)
            .by(Who::User)
            .takes(content_keys([number_key("conversation_id"), text_key("client_ref").optional()]))
            .gives(POSTED)
            .fails([404]),
        Route::post("/device/message/send", "Posts a message of the device.", send_by_device)
            .by(Who::Device)
            .takes(content_keys([number_key("conversation_id"), text_key("client_ref").optional()]))
            .gives(POSTED)
            .fails([403, 404]),
        Route::post("/message/info", "Shows a message.", info)
            .twin("/message/info/{message_id}")
            .by(Who::Either)
            .lists(Bulk::Others)
            .takes([number_key("message_id")])
            .gives([("content", "Message.content")])
            .fails([403, 404]),
        Route::post(
            "/conversation/message/list",
            "Lists messages: the oldest, or the latest, or those before one; oldest first.",
            list,
        )
        .twin("/message/list/{conversation_id}/{quantity}")
        .by(Who::Either)
        .lists(Bulk::Messages)
        .takes([
            number_key("conversation_id"),
            number_key("quantity"),
            number_key("before_id").optional(),
            flag_key("latest").optional(),
        ])
        .gives([("content", "[Message.content]")])
        .fails([403, 404]),
        Route::post("/message/update", "Changes the words of a message.", update)
            .or(Verb::Put)
            .by(Who::Either)
            .takes([number_key("message_id"), text_key("text_content")])
            .fails([403, 404]),
        Route::post("/message/delete", "Removes a message with its files.", delete)
            .or(Verb::Delete)
            .by(Who::Either)
            .takes([number_key("message_id")])
            .fails([403, 404]),
    ]);
    routes
}

fn first_messages() -> Vec<Route> {
    vec![
        Route::post("/message/first-message", "Begins a conversation of two.", first)
            .by(Who::User)
            .takes(content_keys([text_key("email"), number_key("circle_id")]))
            .gives(POSTED)
            .gives([("conversation_id", "integer")])
            .fails([403, 404]),
        Route::post(
            "/message/device/first-message",
            "Begins one with the device.",
            first_to_device,
        )
        .by(Who::User)
        .takes(content_keys([number_key("circle_id"), text_key("conversation_name").optional()]))
        .gives(POSTED)
        .gives([("conversation_id", "integer")])
        .fails([403, 404]),
        Route::post("/device/message/first-message", "Begins one of the device.", first_by_device)
            .by(Who::Device)
            .takes(content_keys([text_key("email")]))
            .gives(POSTED)
            .gives([("conversation_id", "integer")])
            .fails([403, 404]),
    ]
}

const POSTED: [(&str, &str); 2] = [("media_list", "[Media.simple]"), ("message_id", "integer")];

/// These keys, and those of a message's content.
fn content_keys<const N: usize>(keys: [Key; N]) -> impl Iterator<Item = Key> {
    let content = [text_key("text_message").optional(), list_key("files").optional()];
    keys.into_iter().chain(content)
}

fn posted(posted: &Posted) -> Success {
    Success::default()
        .with("media_list", media_list(&posted.medias))
        .with("message_id", posted.message.get())
}

fn begun((conversation, done): &(ConversationId, Posted)) -> Success {
    posted(done).with("conversation_id", conversation.get())
}

/// The names of the files; what is no text is named by its text form.
fn files(web: &Web, ask: &Ask) -> Result<Vec<String>, Refusal> {
    let names = ask.keys.list("files", web.limits().files_per_message.get())?;
    let names = names.into_iter();
    web.services()
        .file_names(names.map(|raw| json::string(raw).unwrap_or_else(|| raw.get().to_owned())))
}

fn first_message(web: &Web, ask: &Ask) -> Result<FirstMessage, Refusal> {
    let text = ask.keys.maybe_text("text_message")?.unwrap_or_default();
    Ok(FirstMessage { text: web.services().text(text)?, files: files(web, ask)? })
}

async fn first(web: Web, ask: Ask) -> Answer {
    let email = ask.keys.text("email")?;
    let circle = ask.keys.number("circle_id", CircleId::new)?;
    let message = first_message(&web, &ask)?;
    let done = web.services().write_first_to(ask.caller()?, &email, circle, message).await?;
    Ok(begun(&done))
}

async fn first_to_device(web: Web, ask: Ask) -> Answer {
    let circle = ask.keys.number("circle_id", CircleId::new)?;
    let title = ask.keys.maybe_text("conversation_name")?;
    let message = first_message(&web, &ask)?;
    let services = web.services();
    let done = services.write_first_to_device(ask.caller()?, circle, title, message).await?;
    Ok(begun(&done))
}

async fn first_by_device(web: Web, ask: Ask) -> Answer {
    let email = ask.keys.text("email")?;
    let message = first_message(&web, &ask)?;
    let done = web.services().write_first_by_device(ask.caller()?, &email, message).await?;
    Ok(begun(&done))
}

async fn post(web: &Web, ask: &Ask) -> Result<Posted, Refusal> {
    let text = ask.keys.maybe_text("text_message")?.unwrap_or_default();
    let reference = ask.keys.maybe_text("client_ref")?.map(|raw| {
        ClientRef::new(raw)
            .ok_or_else(|| Refusal::malformed("client_ref must have 1 to 64 characters"))
    });
    let conversation = ask.keys.number("conversation_id", ConversationId::new)?;
    let text = web.services().text(text)?;
    let draft = Draft {
        files: files(web, ask)?,
        reference: reference.transpose()?,
        ..Draft::words(conversation, text, Dialect::Neo)
    };
    web.services().post(ask.caller()?, draft).await
}

async fn send(web: Web, ask: Ask) -> Answer {
    // The page has one code for an unknown conversation and for one that is not the user's.
    let done = post(&web, &ask).await.at(RefusalKind::Forbidden, StatusCode::NOT_FOUND)?;
    Ok(posted(&done))
}

async fn send_by_device(web: Web, ask: Ask) -> Answer {
    Ok(posted(&post(&web, &ask).await?))
}

async fn info(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("message_id", MessageId::new)?;
    let shown = web.services().show_message(ask.caller()?, id).await?;
    Ok(Success::content(message_content(&shown, Dates::Rest)))
}

async fn list(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("conversation_id", ConversationId::new)?;
    let quantity = ask.keys.number("quantity", |n| usize::try_from(n).unwrap_or(0))?;
    if quantity == 0 {
        return Err(Refusal::malformed("quantity must be at least 1").into());
    }
    let from = match ask.keys.maybe_number("before_id", MessageId::new)? {
        Some(before) => ListFrom::Before(before),
        None if ask.keys.maybe_flag("latest")? == Some(true) => ListFrom::Newest,
        None => ListFrom::Oldest,
    };
    let found = web.services().list_messages(ask.caller()?, id, from, quantity).await?;
    let answer = streaming::respond(async move |mut out: Writer| {
        out.text(BEGINNING).await?;
        write_contents(&mut out, &found).await?;
        out.text("}").await?;
        Ok(out)
    });
    Ok(Success::default().whole(answer.await?))
}

async fn update(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("message_id", MessageId::new)?;
    let text = web.services().text(ask.keys.text("text_content")?)?;
    web.services().edit(ask.caller()?, id, text).await?;
    Ok(Success::default())
}

async fn delete(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("message_id", MessageId::new)?;
    web.services().remove(ask.caller()?, id).await?;
    Ok(Success::default())
}
