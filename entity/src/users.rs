//! People with an account, in all dialects.
//!
//! An e-mail is compared without case and so has a key of its own; a user name is compared as it stands.

use sea_orm::entity::prelude::*;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
#[expect(clippy::struct_excessive_bools, reason = "one column for each flag of the account")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// As typed.
    pub email: String,
    /// Trimmed and in lower case; what is compared.
    #[sea_orm(unique)]
    pub email_key: String,
    /// Unique, with case.
    #[sea_orm(unique)]
    pub username: String,
    /// Nothing until a password is set.
    pub password_hash: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Midnight of the day.
    pub birthday: Option<i64>,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// Whether the account may be used.
    pub is_active: bool,
    /// Whether it administrates the server.
    pub is_superuser: bool,
    /// Whether it enters staff rooms.
    pub is_staff: bool,
    /// Whether it posts without paying.
    pub is_employee: bool,
    /// Until when it posts without paying.
    pub premium_until: Option<i64>,
    /// Coins; the database keeps them from falling below zero.
    pub balance: i64,
    /// Where pushes go.
    #[sea_orm(column_type = "Text", nullable)]
    pub android_token: Option<String>,
    /// When it first spoke courier.
    pub courier_since: Option<i64>,
    /// TURN credentials made before this moment are void.
    pub turn_after: Option<i64>,
    /// Key of its list of private-chat dialogs, 16 bytes.
    pub list_uuid: Option<Vec<u8>>,
    /// When its last connection ended.
    pub last_seen: Option<i64>,
    /// When the account was deleted; the row keeps authorship intact.
    pub deleted_at: Option<i64>,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
