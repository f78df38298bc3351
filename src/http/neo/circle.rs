//! Circles: make, show, rename, invite, join, leave (6.3).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::route::{Ask, Route, Verb};
use crate::domain::{CircleId, InviteId, RefusalKind};
use crate::http::Web;
use crate::http::body::{Key, number_key, text_key};
use crate::http::error::{Answer, At, Success};
use crate::http::identity::Who;
use crate::service::{Bulk, CircleContent};
use crate::wire::neo::{self as shape, Dates};

const CIRCLE: Key = number_key("circle_id");
const INVITE: Key = number_key("invite_id");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/circle/create", "Makes a circle; who makes it is in it.", create)
            .by(Who::User)
            .takes([text_key("name")])
            .gives([("content", "Circle.simple")]),
        Route::post("/circle/update", "Renames a circle; tells it.", update)
            .or(Verb::Put)
            .by(Who::Either)
            .takes([CIRCLE, text_key("name").optional()])
            .fails([403, 404]),
        Route::post("/circle/info", "Shows a circle; a device sees its own.", info)
            .twin("/circle/info/{circle_id}")
            .by(Who::Either)
            .lists(Bulk::Others)
            .takes([CIRCLE.optional()])
            .gives([("content", "Circle.content")])
            .fails([403, 404]),
        Route::post("/circle/list", "Lists one's circles.", list)
            .twin("/user/circle/list")
            .by(Who::User)
            .lists(Bulk::Others)
            .gives([("content", "[Circle.simple]")]),
        Route::post("/circle/invite", "Invites a user, who is told.", invite)
            .by(Who::Either)
            .takes([CIRCLE, text_key("email")])
            .fails([400, 403, 404]),
        Route::post("/circle/join", "Accepts an invitation; tells the circle.", join)
            .by(Who::User)
            .takes([INVITE])
            .fails([403, 404]),
        Route::post("/circle/reject", "Turns an invitation down.", reject)
            .by(Who::User)
            .takes([INVITE])
            .fails([403, 404]),
        Route::post("/circle/quit", "Leaves a circle and its conversations.", quit)
            .by(Who::User)
            .takes([CIRCLE])
            .fails([403]),
        Route::post("/circle/kick", "Puts a member out of a circle and its conversations.", kick)
            .by(Who::User)
            .takes([CIRCLE, text_key("email")])
            .fails([400, 403, 404]),
    ]
}

async fn create(web: Web, ask: Ask) -> Answer {
    let circle = web.services().start_circle(ask.caller()?, &ask.keys.text("name")?).await?;
    Ok(Success::content(shape::circle_simple(&circle, Dates::Rest)))
}

async fn update(web: Web, ask: Ask) -> Answer {
    let (id, name) = (ask.keys.number("circle_id", CircleId::new)?, ask.keys.maybe_text("name")?);
    web.services().rename_circle(ask.caller()?, id, name).await?;
    Ok(Success::default())
}

async fn info(web: Web, ask: Ask) -> Answer {
    let caller = ask.caller()?;
    let id = match (ask.keys.maybe_number("circle_id", CircleId::new)?, caller.principal.device()) {
        (Some(id), _) => id,
        (None, Some(_)) => web.services().own_circle(caller).await?,
        (None, None) => ask.keys.number("circle_id", CircleId::new)?,
    };
    let content = web.services().circle_content(caller, id).await?;
    Ok(Success::content(circle_content(&content)))
}

async fn list(web: Web, ask: Ask) -> Answer {
    let circles = web.services().list_circles(ask.caller()?).await?;
    let circles = circles.iter().map(|circle| shape::circle_simple(circle, Dates::Rest));
    Ok(Success::content(circles.collect::<Vec<_>>()))
}

async fn invite(web: Web, ask: Ask) -> Answer {
    let (id, email) = (ask.keys.number("circle_id", CircleId::new)?, ask.keys.text("email")?);
    web.services()
        .invite_to_circle(ask.caller()?, id, &email)
        .await
        .at(RefusalKind::Conflict, StatusCode::BAD_REQUEST)?;
    Ok(Success::default())
}

async fn join(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("invite_id", InviteId::new)?;
    web.services().join_circle(ask.caller()?, id).await?;
    Ok(Success::default())
}

async fn reject(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("invite_id", InviteId::new)?;
    web.services().reject_invite(ask.caller()?, id).await?;
    Ok(Success::default())
}

/// Which circles exist is nobody's business here: the page lists 403 alone.
async fn quit(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("circle_id", CircleId::new)?;
    web.services()
        .quit_circle(ask.caller()?, id)
        .await
        .at(RefusalKind::NotFound, StatusCode::FORBIDDEN)?;
    Ok(Success::default())
}

async fn kick(web: Web, ask: Ask) -> Answer {
    let (id, email) = (ask.keys.number("circle_id", CircleId::new)?, ask.keys.text("email")?);
    web.services().kick_from_circle(ask.caller()?, id, &email).await?;
    Ok(Success::default())
}

/// Circle.content.
fn circle_content(content: &CircleContent) -> Value {
    let CircleContent { circle, members, device, invites, conversations, medias } = content;
    let (members, invites, medias) = (members.iter(), invites.iter(), medias.iter());
    let conversations = conversations.iter();
    json!({
        "id": circle.id,
        "name": circle.name,
        "created": Dates::Rest.json(circle.created),
        "updated": Dates::Rest.json(circle.updated),
        "users": members
            .map(|(link, user)| shape::user_circle_circle_view(link, user, Dates::Rest))
            .collect::<Value>(),
        "device": device
            .as_ref()
            .map_or_else(|| json!({}), |device| shape::device_simple(device, Dates::Rest)),
        "invites": invites
            .map(|(invite, user)| shape::invite_circle_view(invite, user, Dates::Rest))
            .collect::<Value>(),
        "conversations": conversations
            .map(|conversation| shape::conversation_simple(conversation, Dates::Rest))
            .collect::<Value>(),
        "medias": medias
            .map(|media| shape::circle_media_content(media, circle, Dates::Rest))
            .collect::<Value>(),
    })
}
