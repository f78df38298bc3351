//! Files (protocols/neo.md, 6.6), and what administrators do with them (6.8).
//!
//! Bytes come in and go out piece by piece: see `upload` and `bytes`.

use serde_json::Value;
use serde_json::value::RawValue;

use super::bytes;
use super::route::{Ask, Route, Verb};
use super::upload;
use crate::domain::{CircleId, DeviceId, MediaId, MessageId, Party, Refusal, UserId};
use crate::http::Web;
use crate::http::body::{Keys, list_key, number_key, text_key};
use crate::http::error::{Answer, Success};
use crate::http::identity::Who;
use crate::service::{Announced, Belonging, Bulk, Description, guess, named_owner};
use crate::wire::neo::{
    Dates, circle_media_content, device_media_content, media_content, media_list, media_simple,
    message_media_content, owned_media_simple, user_media_content,
};

/// The longest purpose, in characters.
const PURPOSE: usize = 32;
/// The longest name of a file that belongs to no message, in characters.
const NAME: usize = 255;

/// The routes, in the page's order.
pub(super) fn routes() -> Vec<Route> {
    let id = || number_key("media_id");
    vec![
        Route::raw_post("/media/upload/{media_id}", "Brings the bytes of a file.", upload::receive)
            .by(Who::Either)
            .fails([403, 404, 413]),
        Route::post("/media/retrieve", "Gives a file as a data URI.", retrieve)
            .twin("/media/retrieve/{media_id}")
            .by(Who::Either)
            .takes([id()])
            .gives([("data", "text")])
            .fails([403, 404]),
        Route::raw_get("/media/file/{media_id}", "Gives the bytes of a file.", bytes::send)
            .by(Who::Either)
            .sends("the bytes, or the range of them that was asked for")
            .fails([403, 404, 416]),
        Route::post("/media/info", "Describes a file.", info)
            .twin("/media/info/{media_id}")
            .by(Who::Either)
            .takes([id()])
            .gives([("content", "Media.simple")])
            .fails([403, 404]),
        Route::post("/message/media/list", "Lists the files of a message.", list)
            .alias("/media/list")
            .twin("/message/media/list/{message_id}")
            .lists(Bulk::Others)
            .by(Who::Either)
            .takes([number_key("message_id")])
            .gives([("content", "[MessageMedia.content]")])
            .fails([403, 404]),
        Route::post("/media/create", "Announces files that belong to no message.", create)
            .by(Who::Either)
            .takes([list_key("medias")])
            .gives([("media_list", "[Media.simple]")])
            .fails([403, 404]),
        Route::post("/media/find", "Finds the files that somebody uses for a purpose.", find)
            .by(Who::Either)
            .takes([
                text_key("purpose"),
                number_key("circle_id").optional(),
                number_key("user_id").optional(),
                number_key("device_id").optional(),
            ])
            .gives([("media_list", "[OwnedMedia.simple]")]),
        Route::post("/media/delete", "Takes a file away.", delete)
            .or(Verb::Delete)
            .by(Who::Either)
            .takes([id()])
            .fails([403, 404]),
    ]
}

/// What administrators do with files.
pub(super) fn admin_routes() -> Vec<Route> {
    let id = || number_key("media_id");
    vec![
        Route::post("/admin/media/info", "Describes any file and its owner.", inspect)
            .by(Who::Admin)
            .takes([id()])
            .gives([("content", "Media.content")])
            .fails([404]),
        Route::post("/admin/media/update", "Rewrites a file's description.", describe)
            .or(Verb::Put)
            .by(Who::Admin)
            .takes([
                id(),
                text_key("filename").optional(),
                text_key("extension").optional(),
                text_key("directory").optional(),
                text_key("identifier").optional(),
            ])
            .fails([404]),
        Route::post("/admin/media/delete", "Takes any file away.", remove)
            .or(Verb::Delete)
            .by(Who::Admin)
            .takes([id()])
            .fails([404]),
    ]
}

fn id(ask: &Ask) -> Result<MediaId, Refusal> {
    ask.keys.number("media_id", MediaId::new)
}

async fn retrieve(web: Web, ask: Ask) -> Answer {
    let opened = web.services().open_media(ask.caller()?, id(&ask)?).await?;
    let mime = opened.media.extension.as_deref().and_then(guess).unwrap_or_default();
    Ok(Success::default().whole(bytes::as_data_uri(opened, &mime)))
}

async fn info(web: Web, ask: Ask) -> Answer {
    let media = web.services().show_media(ask.caller()?, id(&ask)?).await?;
    Ok(Success::content(media_simple(&media)))
}

async fn list(web: Web, ask: Ask) -> Answer {
    let id = ask.keys.number("message_id", MessageId::new)?;
    let message = web.services().show_message(ask.caller()?, id).await?.message;
    let medias = message.medias.iter();
    let list: Value =
        medias.map(|media| message_media_content(media, &message, Dates::Rest)).collect();
    Ok(Success::content(list))
}

async fn create(web: Web, ask: Ask) -> Answer {
    let most = web.limits().files_per_message.get();
    let entries = ask.keys.list("medias", most)?;
    if entries.len() > most {
        let text = format!("at most {most} files at once (limits.files_per_message)");
        return Err(Refusal::malformed(text).into());
    }
    let wanted: Vec<_> = entries.into_iter().map(announced).collect::<Result<_, _>>()?;
    let made = web.services().announce(ask.caller()?, wanted).await?;
    Ok(Success::default().with("media_list", media_list(&made)))
}

fn announced(entry: &RawValue) -> Result<Announced, Refusal> {
    let keys = Keys::of(entry.get(), &["purpose", "name", "circle_id", "device_id"])
        .ok_or_else(|| Refusal::malformed("medias must be a list of objects"))?;
    let purpose = keys.maybe_text("purpose")?;
    let purpose = purpose.ok_or_else(|| Refusal::not_found("purpose is missing"))?;
    let name = keys.text("name")?;
    if purpose.chars().count() > PURPOSE {
        let text = format!("purpose may have at most {PURPOSE} characters");
        return Err(Refusal::malformed(text));
    }
    if name.chars().count() > NAME {
        return Err(Refusal::malformed(format!("name may have at most {NAME} characters")));
    }
    let circle = keys.maybe_number("circle_id", CircleId::new)?;
    let device = keys.maybe_number("device_id", DeviceId::new)?;
    Ok(Announced { purpose, name, owner: named_owner(circle, None, device) })
}

async fn find(web: Web, ask: Ask) -> Answer {
    let purpose = ask.keys.text("purpose")?;
    let owner = named_owner(
        ask.keys.maybe_number("circle_id", CircleId::new)?,
        ask.keys.maybe_number("user_id", UserId::new)?,
        ask.keys.maybe_number("device_id", DeviceId::new)?,
    );
    let found = web.services().find_medias(ask.caller()?, owner, &purpose).await?;
    let list: Value = found.iter().map(|media| owned_media_simple(media, Dates::Rest)).collect();
    Ok(Success::default().with("media_list", list))
}

async fn delete(web: Web, ask: Ask) -> Answer {
    web.services().delete_media(ask.caller()?, id(&ask)?).await?;
    Ok(Success::default())
}

async fn inspect(web: Web, ask: Ask) -> Answer {
    let permit = web.services().require_administrator(ask.caller()?).await?;
    let (media, belonging) = web.services().inspect_media(&permit, id(&ask)?).await?;
    let dates = Dates::Rest;
    let content = match &belonging {
        Belonging::Message(message) => Some(message_media_content(&media, message, dates)),
        Belonging::Party(Party::User(user)) => Some(user_media_content(&media, user, dates)),
        Belonging::Party(Party::Device(device)) => {
            Some(device_media_content(&media, device, dates))
        }
        Belonging::Circle(circle) => Some(circle_media_content(&media, circle, dates)),
        Belonging::Nothing => None,
    };
    Ok(Success::content(media_content(&media, content)))
}

async fn describe(web: Web, ask: Ask) -> Answer {
    let permit = web.services().require_administrator(ask.caller()?).await?;
    let description = Description {
        filename: ask.keys.maybe_text("filename")?,
        extension: ask.keys.maybe_text("extension")?,
        directory: ask.keys.maybe_text("directory")?,
        identifier: ask.keys.maybe_text("identifier")?,
    };
    web.services().describe_media(&permit, id(&ask)?, description).await?;
    Ok(Success::default())
}

async fn remove(web: Web, ask: Ask) -> Answer {
    let permit = web.services().require_administrator(ask.caller()?).await?;
    web.services().remove_media(&permit, id(&ask)?).await?;
    Ok(Success::default())
}
