//! Smiles: priced pictures that anybody may send, and the one file of each.
//!
//! A retired smile can no longer be sent; messages that show it keep its picture, so its
//! bytes are never removed.

use entity::{medias, smiles};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};

use super::attachments::media;
use super::locks::require_administrator;
use super::{Arrived, Store, StoreError};
use crate::domain::{FileId, Media, Smile, SmileId};
use crate::policy::MayAdminister;

/// A smile with what it costs and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedSmile {
    /// Which, and the public name of its bytes.
    pub smile: Smile,
    /// Coins.
    pub price: i64,
    /// Its file.
    pub media: Media,
}

type Row = (smiles::Model, Option<medias::Model>);

fn priced((row, file): Row) -> Result<PricedSmile, StoreError> {
    let file = file.ok_or_else(|| StoreError::Impossible {
        table: "smiles",
        what: format!("smile {} has no picture", row.id),
    })?;
    let media = media(file)?;
    let smile = Smile { id: SmileId::new(row.id), file: media.file };
    Ok(PricedSmile { smile, price: row.price, media })
}

async fn find(db: &impl ConnectionTrait, id: SmileId) -> Result<Option<PricedSmile>, StoreError> {
    let row = smiles::Entity::find_by_id(id.get())
        .find_also_related(medias::Entity)
        .filter(smiles::Column::RetiredAt.is_null())
        .one(db)
        .await?;
    row.map(priced).transpose()
}

impl Store {
    /// A smile that can be sent.
    pub async fn find_smile(&self, id: SmileId) -> Result<Option<PricedSmile>, StoreError> {
        find(self.reads(), id).await
    }

    /// The smiles that can be sent, oldest first.
    pub async fn list_smiles(&self) -> Result<Vec<PricedSmile>, StoreError> {
        let rows = smiles::Entity::find()
            .find_also_related(medias::Entity)
            .filter(smiles::Column::RetiredAt.is_null())
            .order_by_asc(smiles::Column::Id)
            .all(self.reads())
            .await?;
        rows.into_iter().map(priced).collect()
    }

    /// Makes a smile of bytes that have arrived.
    pub async fn add_smile(
        &self,
        permit: &MayAdminister,
        picture: Arrived,
        price: i64,
    ) -> Result<PricedSmile, StoreError> {
        let now = self.clock().now().micros();
        let file = medias::ActiveModel {
            uuid: Set(picture.file.get().as_bytes().to_vec()),
            link_kind: Set(4),
            position: Set(0),
            purpose: Set("smile".to_owned()),
            identifier: Set(format!("{}{}", picture.filename, picture.extension)),
            filename: Set(Some(picture.filename)),
            extension: Set(Some(picture.extension)),
            directory: Set(String::new()),
            mime: Set(picture.mime),
            size: Set(i64::try_from(picture.size).ok()),
            uploaded_at: Set(Some(now)),
            created_at: Set(now),
            ..Default::default()
        };
        self.write(async |tx| {
            require_administrator(self, tx, permit).await?;
            let media = medias::Entity::insert(file).exec(tx).await?.last_insert_id;
            let row = smiles::ActiveModel {
                media_id: Set(media),
                price: Set(price),
                ..Default::default()
            };
            let id = smiles::Entity::insert(row).exec(tx).await?.last_insert_id;
            find(tx, SmileId::new(id)).await?.ok_or_else(|| StoreError::Impossible {
                table: "smiles",
                what: format!("smile {id} vanished while it was made"),
            })
        })
        .await
    }

    /// Gives a smile another price; none if it cannot be sent (any more).
    pub async fn price_smile(
        &self,
        permit: &MayAdminister,
        id: SmileId,
        price: i64,
    ) -> Result<Option<PricedSmile>, StoreError> {
        self.write(async |tx| {
            require_administrator(self, tx, permit).await?;
            smiles::Entity::update_many()
                .col_expr(smiles::Column::Price, Expr::value(price))
                .filter(smiles::Column::Id.eq(id.get()))
                .filter(smiles::Column::RetiredAt.is_null())
                .exec(tx)
                .await?;
            find(tx, id).await
        })
        .await
    }

    /// From now on a smile cannot be sent; says whether it could be until now.
    pub async fn retire_smile(
        &self,
        permit: &MayAdminister,
        id: SmileId,
    ) -> Result<bool, StoreError> {
        let now = self.clock().now().micros();
        self.write(async |tx| {
            require_administrator(self, tx, permit).await?;
            let retired = smiles::Entity::update_many()
                .col_expr(smiles::Column::RetiredAt, Expr::value(now))
                .filter(smiles::Column::Id.eq(id.get()))
                .filter(smiles::Column::RetiredAt.is_null())
                .exec(tx)
                .await?;
            Ok(retired.rows_affected > 0)
        })
        .await
    }

    /// The file with this public name, if it was not deleted.
    pub async fn find_media_by_file(&self, file: FileId) -> Result<Option<Media>, StoreError> {
        let row = medias::Entity::find()
            .filter(medias::Column::Uuid.eq(file.get().as_bytes().to_vec()))
            .filter(medias::Column::DeletedAt.is_null())
            .one(self.reads())
            .await?;
        row.map(media).transpose()
    }
}
