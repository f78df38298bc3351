//! Files that were announced, whether or not their bytes have arrived.
//!
//! A media has exactly one owner, so the id of that link is the id of the media.

use sea_orm::entity::prelude::*;

/// A row of `medias`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "medias")]
pub struct Model {
    /// The media, and its link.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its public name, 16 bytes.
    #[sea_orm(unique)]
    pub uuid: Vec<u8>,
    /// 0 message, 1 user, 2 device, 3 circle, 4 smile.
    pub link_kind: i16,
    /// The message.
    pub message_id: Option<i64>,
    /// The user.
    pub user_id: Option<i64>,
    /// The device.
    pub device_id: Option<i64>,
    /// The circle.
    pub circle_id: Option<i64>,
    /// Place among the files of its message, from zero.
    pub position: i16,
    /// What it is for.
    pub purpose: String,
    /// The name its sender announced.
    pub identifier: String,
    /// The name it arrived with, without extension.
    pub filename: Option<String>,
    /// With the leading dot.
    pub extension: Option<String>,
    /// Shown, and never used to find a file.
    pub directory: String,
    /// The type it is served with.
    pub mime: Option<String>,
    /// The type its sender declared.
    pub declared_mime: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// When its bytes arrived.
    pub uploaded_at: Option<i64>,
    /// When it was taken away.
    pub deleted_at: Option<i64>,
    /// When the row was made.
    pub created_at: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The message.
    #[sea_orm(
        belongs_to = "super::messages::Entity",
        from = "Column::MessageId",
        to = "super::messages::Column::Id"
    )]
    Message,
    /// The user.
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::UserId",
        to = "super::users::Column::Id"
    )]
    User,
    /// The device.
    #[sea_orm(
        belongs_to = "super::devices::Entity",
        from = "Column::DeviceId",
        to = "super::devices::Column::Id"
    )]
    Device,
    /// The circle.
    #[sea_orm(
        belongs_to = "super::circles::Entity",
        from = "Column::CircleId",
        to = "super::circles::Column::Id"
    )]
    Circle,
}

impl Related<super::messages::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Message.def()
    }
}

impl Related<super::users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl Related<super::devices::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Device.def()
    }
}

impl Related<super::circles::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Circle.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
