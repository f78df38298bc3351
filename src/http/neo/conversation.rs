//! Conversations (protocols/neo.md, 6.4).
//!
//! Most of these routes answer an unknown conversation like one the caller is not in.

use axum::http::StatusCode;
use serde_json::Value;

use super::lists::{BEGINNING, write_simple};
use super::route::{Ask, Route, Verb};
use crate::domain::{CircleId, ConversationId, RefusalKind};
use crate::http::Web;
use crate::http::body::{flag_key, number_key, text_key};
use crate::http::error::{Answer, At, Success};
use crate::http::identity::Who;
use crate::http::streaming::{self, Interrupted, Object, Writer};
use crate::service::{Bulk, ConversationContent};
use crate::wire::neo::{
    Dates, conversation_content, conversation_simple, message_simple, user_conversation_content,
};

/// The routes, in the page's order.
pub(super) fn routes() -> Vec<Route> {
    let id = || number_key("conversation_id");
    let email = || text_key("email");
    vec![
        Route::post("/conversation/info", "Shows a conversation with everything in it.", info)
            .twin("/conversation/info/{conversation_id}")
            .by(Who::Either)
            .lists(Bulk::Messages)
            .takes([id(), number_key("latest").optional()])
            .gives([("content", "Conversation.content")])
            .fails([403, 404]),
        Route::post("/conversation/list", "Lists one's conversations in a circle.", list)
            .twin("/conversation/list/{circle_id}")
            .by(Who::Either)
            .lists(Bulk::Others)
            .takes([number_key("circle_id")])
            .gives([("content", "[Conversation.simple]")])
            .fails([403, 404]),
        Route::post("/conversation/update", "Renames a conversation.", update)
            .or(Verb::Put)
            .by(Who::Either)
            .takes([
                id(),
                text_key("conversation_name").optional(),
                flag_key("device_access").optional(),
            ])
            .gives([("content", "Conversation.simple")])
            .fails([403]),
        Route::post("/conversation/invite", "Makes somebody a member.", invite)
            .by(Who::Either)
            .takes([id(), email()])
            .fails([403, 404, 409]),
        Route::post("/conversation/promote", "Hands the administration over.", promote)
            .or(Verb::Put)
            .by(Who::User)
            .takes([id(), email()])
            .fails([403, 404]),
        Route::post("/conversation/kick", "Puts a member out.", kick)
            .by(Who::User)
            .takes([id(), email()])
            .fails([403, 404]),
        Route::post("/conversation/quit", "Leaves a conversation.", quit)
            .by(Who::User)
            .takes([id()])
            .fails([403]),
        Route::post(
            "/conversation/device/set",
            "Lets the device in if it was out, or out.",
            toggle,
        )
        .or(Verb::Put)
        .by(Who::Either)
        .takes([id()])
        .fails([403, 404]),
        Route::post("/conversation/device/add", "Lets the device in.", add_device)
            .by(Who::User)
            .takes([id()])
            .fails([403]),
        Route::post("/conversation/device/remove", "Puts the device out.", remove_device)
            .by(Who::User)
            .takes([id()])
            .fails([403]),
    ]
}

/// For routes whose page lists no 404.
const FOLDED: (RefusalKind, StatusCode) = (RefusalKind::NotFound, StatusCode::FORBIDDEN);

fn id(ask: &Ask) -> Result<ConversationId, crate::domain::Refusal> {
    ask.keys.number("conversation_id", ConversationId::new)
}

async fn info(web: Web, ask: Ask) -> Answer {
    let latest = ask.keys.maybe_number("latest", |n| usize::try_from(n).unwrap_or(0))?;
    let shown = web.services().show_conversation(ask.caller()?, id(&ask)?, latest).await?;
    let answer = streaming::respond(|out| write_content(out, shown)).await?;
    Ok(Success::default().whole(answer))
}

/// Conversation.content; each message stands there twice, in its link and in the list of all.
async fn write_content(mut out: Writer, shown: ConversationContent) -> Result<Writer, Interrupted> {
    let ConversationContent { conversation, circle, members, messages } = shown;
    let shape = conversation_content(&conversation, circle.as_ref(), Dates::Rest);
    out.text(BEGINNING).await?;
    let mut whole = Object::new(shape);
    whole.until(&mut out, "links").await?;
    out.text("[").await?;
    let links: Vec<_> = members.iter().map(|(membership, _)| membership.link).collect();
    let (own, counts) = messages.grouped(&links);
    let (mut own, mut first) = (own.reader(), true);
    for ((membership, user), count) in members.iter().zip(counts) {
        out.separate(&mut first).await?;
        let shape = user_conversation_content(membership, user, &conversation, Dates::Rest);
        let mut link = Object::new(shape);
        link.until(&mut out, "messages").await?;
        out.text("[").await?;
        let mut first = true;
        for _ in 0..count {
            if let Some(message) = own.next().await? {
                out.item(&mut first, &message_simple(&message, Dates::Rest)).await?;
            }
        }
        out.text("]").await?;
        link.end(&mut out).await?;
    }
    out.text("]").await?;
    whole.until(&mut out, "messages").await?;
    write_simple(&mut out, &messages).await?;
    whole.end(&mut out).await?;
    out.text("}").await?;
    Ok(out)
}

async fn list(web: Web, ask: Ask) -> Answer {
    let circle = ask.keys.number("circle_id", CircleId::new)?;
    let found = web.services().list_conversations(ask.caller()?, circle).await?;
    let list: Value = found.iter().map(|one| conversation_simple(one, Dates::Rest)).collect();
    Ok(Success::content(list))
}

async fn update(web: Web, ask: Ask) -> Answer {
    let title = ask.keys.maybe_text("conversation_name")?;
    let device = ask.keys.maybe_flag("device_access")?;
    let (kind, status) = FOLDED;
    let updated = web
        .services()
        .update_conversation(ask.caller()?, id(&ask)?, title, device)
        .await
        .at(kind, status)?;
    Ok(Success::content(conversation_simple(&updated, Dates::Rest)))
}

async fn invite(web: Web, ask: Ask) -> Answer {
    let email = ask.keys.text("email")?;
    web.services().invite(ask.caller()?, id(&ask)?, &email).await?;
    Ok(Success::default())
}

async fn promote(web: Web, ask: Ask) -> Answer {
    let email = ask.keys.text("email")?;
    web.services().promote(ask.caller()?, id(&ask)?, &email).await?;
    Ok(Success::default())
}

async fn kick(web: Web, ask: Ask) -> Answer {
    let email = ask.keys.text("email")?;
    web.services().kick(ask.caller()?, id(&ask)?, &email).await?;
    Ok(Success::default())
}

async fn quit(web: Web, ask: Ask) -> Answer {
    let (kind, status) = FOLDED;
    web.services().quit(ask.caller()?, id(&ask)?).await.at(kind, status)?;
    Ok(Success::default())
}

async fn toggle(web: Web, ask: Ask) -> Answer {
    web.services().set_device(ask.caller()?, id(&ask)?, None).await?;
    Ok(Success::default())
}

async fn add_device(web: Web, ask: Ask) -> Answer {
    let (kind, status) = FOLDED;
    web.services().set_device(ask.caller()?, id(&ask)?, Some(true)).await.at(kind, status)?;
    Ok(Success::default())
}

async fn remove_device(web: Web, ask: Ask) -> Answer {
    let (kind, status) = FOLDED;
    web.services().set_device(ask.caller()?, id(&ask)?, Some(false)).await.at(kind, status)?;
    Ok(Success::default())
}
