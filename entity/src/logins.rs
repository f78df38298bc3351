//! Logins of accounts: tokens, browsers, devices.
//!
//! Secrets are kept as hashes of 32 bytes.

use sea_orm::entity::prelude::*;

/// A row of `logins`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "logins")]
pub struct Model {
    /// The login.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose login it is.
    pub principal: i64,
    /// 0 token, 1 browser, 2 device.
    pub kind: i16,
    /// Hash of a browser's `sessionid`.
    #[sea_orm(unique)]
    pub session_hash: Option<Vec<u8>>,
    /// Hash of the key in private-chat addresses.
    #[sea_orm(unique)]
    pub key_hash: Option<Vec<u8>>,
    /// When the row was made.
    pub created_at: i64,
    /// When it ends by itself.
    pub expires_at: i64,
    /// When it was ended.
    pub ended_at: Option<i64>,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
