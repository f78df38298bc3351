//! Logins: one row for each token, browser and device that may come back.

use entity::logins;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{Store, StoreError, Tx};
use crate::domain::{LoginId, Principal, Timestamp, UserId};

/// The column `kind`.
const TOKEN: i16 = 0;
const BROWSER: i16 = 1;
const DEVICE: i16 = 2;

/// What is stored of a browser login's `sessionid` and `session_key`.
pub type BrowserHashes = ([u8; 32], [u8; 32]);

impl Store {
    /// A login that a token will name.
    pub async fn start_login(
        &self,
        principal: Principal,
        expires: Timestamp,
    ) -> Result<LoginId, StoreError> {
        let kind = match principal {
            Principal::User(_) => TOKEN,
            Principal::Device(_) => DEVICE,
        };
        self.insert_login(principal, kind, expires, None).await
    }

    /// A login that a cookie will show.
    pub async fn start_browser_login(
        &self,
        user: UserId,
        expires: Timestamp,
        hashes: BrowserHashes,
    ) -> Result<LoginId, StoreError> {
        self.insert_login(Principal::User(user), BROWSER, expires, Some(hashes)).await
    }

    async fn insert_login(
        &self,
        principal: Principal,
        kind: i16,
        expires: Timestamp,
        hashes: Option<BrowserHashes>,
    ) -> Result<LoginId, StoreError> {
        let row = logins::ActiveModel {
            principal: Set(principal.to_db()),
            kind: Set(kind),
            session_hash: Set(hashes.map(|(session, _)| session.to_vec())),
            key_hash: Set(hashes.map(|(_, key)| key.to_vec())),
            created_at: Set(self.clock().now().micros()),
            expires_at: Set(expires.micros()),
            ..Default::default()
        };
        let insert = async |tx: &Tx| Ok(logins::Entity::insert(row).exec(tx).await?);
        Ok(LoginId::new(self.write(insert).await?.last_insert_id))
    }

    /// Ends all logins of an account, and tells the servers.
    pub(super) async fn end_all_logins(
        &self,
        tx: &Tx,
        principal: Principal,
    ) -> Result<(), StoreError> {
        logins::Entity::update_many()
            .col_expr(logins::Column::EndedAt, Expr::value(self.clock().now().micros()))
            .filter(logins::Column::Principal.eq(principal.to_db()))
            .filter(logins::Column::EndedAt.is_null())
            .exec(tx)
            .await?;
        self.notify(tx, "logins", principal.to_db(), None).await
    }
}
