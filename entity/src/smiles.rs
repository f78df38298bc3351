//! Priced pictures of members-chat.
//!
//! A retired one can no longer be sent; old messages keep it.

use sea_orm::entity::prelude::*;

/// A row of `smiles`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "smiles")]
pub struct Model {
    /// The smile.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its picture.
    pub media_id: i64,
    /// Coins.
    pub price: i64,
    /// When it was withdrawn.
    pub retired_at: Option<i64>,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The media.
    #[sea_orm(
        belongs_to = "super::medias::Entity",
        from = "Column::MediaId",
        to = "super::medias::Column::Id"
    )]
    Media,
}

impl Related<super::medias::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Media.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
