//! Stored files by their public names, and the smiles that superusers make.

use axum::Json;
use axum::Router;
use axum::extract::multipart::Field;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bytes::{Naming, describe, no_such_range, serve};
use super::complaint::{Complaint, Fields, caller_by};
use super::layers::client_address;
use super::members::{asking, both, superuser, wrong_verb};
use super::parts::{Fed, Parts, file_name};
use super::{Named, Web, named};
use crate::domain::{FileId, Refusal, RefusalKind, SmileId};
use crate::service::{Caller, NoSmile, Opened, Picture, PricedSmile};

/// Characters of a name of a file, hyphens included; in other forms it is malformed.
const UUID: usize = 36;
/// Bytes of a price.
const PRICE: usize = 32;

/// The routes, each with and without a slash at its end.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .merge(both("/storage", get(send)))
        .merge(both("/storage/smiles", get(list).post(add)))
        .merge(both("/storage/smiles/{id}", patch(change_price).delete(retire)))
        .method_not_allowed_fallback(wrong_verb)
}

async fn send(State(web): State<Web>, request: Request) -> Result<Response, Complaint> {
    let (asked, _) = request.into_parts();
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&asked.uri)
        .map_err(|_| Complaint::invalid("the query cannot be read"))?;
    let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let caller = if web.storage_requires_auth {
        Some(match find("token") {
            Some(token) if !asked.headers.contains_key(header::AUTHORIZATION) => {
                caller_by(&web, token.trim(), client_address(&asked.extensions)).await?
            }
            _ => asking(&web, &asked).await?,
        })
    } else {
        web.services().pace_stranger(client_address(&asked.extensions))?;
        None
    };
    let uuid = find("uuid").map(|uuid| uuid.trim()).filter(|uuid| uuid.len() == UUID);
    let uuid = uuid.and_then(|uuid| Uuid::try_parse(uuid).ok());
    let uuid = uuid.ok_or_else(|| Complaint::invalid("uuid is missing or malformed"))?;
    let opened = web.services().open_stored(caller.as_ref(), FileId::new(uuid)).await;
    let Opened { media, file, size } = opened.map_err(|refusal| {
        if refusal.kind() == RefusalKind::NotFound {
            let text = "There is no such file.";
            return Complaint::new(StatusCode::NOT_FOUND, "file_not_found", text);
        }
        refusal.into()
    })?;
    // A name stands for the same bytes for ever: other bytes get another name.
    let headers = describe(&media, Naming::Announced, "private, max-age=31536000, immutable");
    let sent = serve(&asked.headers, headers, file, size).await.map_err(|error| {
        tracing::error!(%error, "a file could not be read");
        Refusal::unavailable()
    })?;
    Ok(sent.unwrap_or_else(|| {
        let text = "The file has no such range.";
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let complaint = Complaint::new(status, "range_not_satisfiable", text);
        (no_such_range(size), complaint).into_response()
    }))
}

fn shown(smile: &PricedSmile) -> Value {
    let (id, file) = (smile.smile.id.get(), smile.smile.file.get());
    json!({ "id": id, "file_uuid": file, "price": smile.price })
}

async fn list(State(web): State<Web>, request: Request) -> Result<Json<Value>, Complaint> {
    let (parts, _) = request.into_parts();
    asking(&web, &parts).await?;
    let smiles = web.services().list_smiles().await?;
    Ok(Json(smiles.iter().map(shown).collect()))
}

async fn add(State(web): State<Web>, request: Request) -> Result<Response, Complaint> {
    let (parts, body) = request.into_parts();
    let caller = superuser(&web, &parts).await?;
    let picture = web.services().begin_smile(&caller).await?;
    let parts = Parts::of(Request::from_parts(parts, body)).await;
    let parts = parts.ok_or_else(|| Complaint::invalid("the body must be multipart/form-data"))?;
    let form = take(parts, picture).await?;
    let smile = finish(web, caller, form).await?;
    Ok((StatusCode::CREATED, Json(shown(&smile))).into_response())
}

/// What a form has brought.
struct Form {
    picture: Picture,
    name: Option<String>,
    price: Option<u32>,
}

async fn take(mut parts: Parts, mut picture: Picture) -> Result<Form, Complaint> {
    let (mut found, mut name, mut price) = (false, None, None);
    while let Some((mut field, fed)) = parts.next().await.map_err(broken)? {
        match field.name() {
            Some("file") if !found => {
                found = true;
                name = file_name(&field);
                while let Some(piece) = fed.piece(&mut field).await.map_err(broken)? {
                    picture.write(&piece).await.map_err(|refusal| {
                        let text = refusal.to_string();
                        if refusal.kind() == RefusalKind::TooLarge {
                            let status = StatusCode::PAYLOAD_TOO_LARGE;
                            return Complaint::new(status, "file_too_large", text);
                        }
                        refusal.into()
                    })?;
                }
            }
            Some("price") => price = Some(read_price(field, &fed).await?),
            _ => while fed.other(&mut field).await.map_err(broken)?.is_some() {},
        }
    }
    if !found {
        return Err(Complaint::invalid("the field `file` is missing"));
    }
    Ok(Form { picture, name, price })
}

async fn read_price(mut field: Field<'_>, fed: &Fed) -> Result<u32, Complaint> {
    let mut text = Vec::new();
    while let Some(piece) = fed.other(&mut field).await.map_err(broken)? {
        text.extend_from_slice(&piece);
        if text.len() > PRICE {
            return Err(bad_price());
        }
    }
    let text = std::str::from_utf8(&text).unwrap_or_default();
    text.trim().parse().map_err(|_| bad_price())
}

/// In a task of its own: a client that hangs up now does not stop half of it.
async fn finish(web: Web, caller: Caller, form: Form) -> Result<PricedSmile, Complaint> {
    let work = async move {
        let Form { picture, name, price } = form;
        web.services().finish_smile(&caller, picture, name.as_deref(), price).await
    };
    let made = tokio::spawn(work).await.map_err(|_| Refusal::unknown())?;
    let unusable = StatusCode::UNPROCESSABLE_ENTITY;
    made.map_err(|why| match why {
        NoSmile::Empty => Complaint::new(unusable, "empty_file", why.to_string()),
        NoSmile::NotAnImage => Complaint::new(unusable, "not_an_image", why.to_string()),
        NoSmile::Refused(refusal) => refusal.into(),
    })
}

async fn change_price(
    State(web): State<Web>,
    id: Named,
    request: Request,
) -> Result<Json<Value>, Complaint> {
    let (parts, body) = request.into_parts();
    let caller = superuser(&web, &parts).await?;
    let fields = Fields::read(body, web.body_bytes(), &["price"]).await?;
    let price = fields.number("price")?.and_then(|price| u32::try_from(price).ok());
    let price = price.ok_or_else(bad_price)?;
    let id = smile_id(&named(id))?;
    let priced = web.services().price_smile(&caller, id, price).await;
    Ok(Json(shown(&priced.map_err(unknown_smile)?)))
}

async fn retire(
    State(web): State<Web>,
    id: Named,
    request: Request,
) -> Result<StatusCode, Complaint> {
    let (parts, _) = request.into_parts();
    let caller = superuser(&web, &parts).await?;
    web.services().retire_smile(&caller, smile_id(&named(id))?).await.map_err(unknown_smile)?;
    Ok(StatusCode::NO_CONTENT)
}

fn smile_id(raw: &str) -> Result<SmileId, Complaint> {
    let absent = || unknown_smile(Refusal::not_found(format!("There is no smile with id {raw}.")));
    raw.parse().map(SmileId::new).map_err(|_| absent())
}

fn unknown_smile(refusal: Refusal) -> Complaint {
    if refusal.kind() == RefusalKind::NotFound {
        return Complaint::new(StatusCode::NOT_FOUND, "smile_not_found", refusal.to_string());
    }
    refusal.into()
}

fn bad_price() -> Complaint {
    Complaint::invalid("price must be a whole number, 0 or more")
}

fn broken(refusal: Refusal) -> Complaint {
    if refusal.kind() == RefusalKind::TooLarge {
        return refusal.into();
    }
    Complaint::invalid(refusal.to_string())
}
