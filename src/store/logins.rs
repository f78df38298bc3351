//! Logins: one row for each token, browser and device that may come back.

use entity::{devices, logins, users};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::locks::wait_for_batches;
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{Event, LoginId, Principal, Timestamp, Topic, UserId};
use crate::hub::{News, Notice};

/// The notice by which processes tell each other that logins of its subject have ended.
pub const LOGINS_ENDED: &str = "logins";

/// The column `kind`.
const TOKEN: i16 = 0;
const BROWSER: i16 = 1;
const DEVICE: i16 = 2;
const NUMBER: i16 = 3;

/// Living logins of one account, besides the one by number; beyond them the oldest end.
const MOST: usize = 100;
/// Logins that one transaction ends for being too many.
const BATCH: u64 = 1000;

/// What is stored of a browser login's `sessionid` and `session_key`.
pub type BrowserHashes = ([u8; 32], [u8; 32]);

/// How an account and one of its logins stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether the account may be used.
    pub active: bool,
    /// How the login stands.
    pub login: LoginState,
}

/// How a login stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// It is the account's and goes on.
    Living,
    /// Its time is over.
    Expired,
    /// It has ended before its time, or is not the account's.
    Ended,
}

/// Which logins end.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Whose.
    pub principal: Principal,
    /// This one alone.
    pub only: Option<LoginId>,
    /// All but this one.
    pub except: Option<LoginId>,
    /// Whether the account was switched off, or removed.
    pub deactivated: bool,
}

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

    /// The login of a user who is believed by number alone; there is one as long as it lives.
    pub async fn number_login(
        &self,
        user: UserId,
        expires: Timestamp,
    ) -> Result<LoginId, StoreError> {
        let principal = Principal::User(user);
        let known = self.living_logins(principal).filter(logins::Column::Kind.eq(NUMBER));
        match known.one(self.reads()).await? {
            Some(row) => Ok(LoginId::new(row.id)),
            None => self.insert_login(principal, NUMBER, expires, None).await,
        }
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

    /// A login by password: begins only while the account may be used and has the password
    /// that was proven, which takes a while. A cookie will show it if there are hashes of it.
    pub async fn start_proven_login(
        &self,
        principal: Principal,
        expires: Timestamp,
        proven: &str,
        browser: Option<BrowserHashes>,
    ) -> Result<Option<LoginId>, StoreError> {
        let kind = match principal {
            Principal::User(_) if browser.is_some() => BROWSER,
            Principal::User(_) => TOKEN,
            Principal::Device(_) => DEVICE,
        };
        let row = self.login_row(principal, kind, expires, browser);
        let begun = self.write(async |tx| {
            let stored = match principal {
                Principal::User(id) => users::Entity::find_by_id(id.get())
                    .filter(users::Column::DeletedAt.is_null())
                    .filter(users::Column::IsActive.eq(true))
                    .one(tx)
                    .await?
                    .and_then(|row| row.password_hash),
                Principal::Device(id) => devices::Entity::find_by_id(id.get())
                    .filter(devices::Column::Live.eq(1))
                    .filter(devices::Column::Activated.eq(true))
                    .one(tx)
                    .await?
                    .map(|row| row.password_hash),
            };
            if stored.as_deref() != Some(proven) {
                return Ok(None);
            }
            let login = logins::Entity::insert(row).exec(tx).await?;
            Ok(Some(LoginId::new(login.last_insert_id)))
        });
        let begun = begun.await?;
        if begun.is_some() {
            self.make_room_behind(principal, begun).await;
        }
        Ok(begun)
    }

    async fn insert_login(
        &self,
        principal: Principal,
        kind: i16,
        expires: Timestamp,
        hashes: Option<BrowserHashes>,
    ) -> Result<LoginId, StoreError> {
        let row = self.login_row(principal, kind, expires, hashes);
        let insert = async |tx: &Tx| Ok(logins::Entity::insert(row).exec(tx).await?);
        let login = LoginId::new(self.write(insert).await?.last_insert_id);
        self.make_room_behind(principal, Some(login)).await;
        Ok(login)
    }

    /// Ends the oldest logins of an account that has too many, after a new one has begun.
    async fn make_room_behind(&self, principal: Principal, login: Option<LoginId>) {
        if let Err(error) = self.end_surplus_logins(principal, login).await {
            // The next login tries it again.
            tracing::warn!(error = &error as &dyn std::error::Error, "old logins were not ended");
        }
    }

    /// Ends the oldest logins of an account that has too many; `keep` stays in any case. There
    /// may be very many in a database from before there was a limit, so it is done in several
    /// short transactions, between which others write.
    pub(super) async fn end_surplus_logins(
        &self,
        principal: Principal,
        keep: Option<LoginId>,
    ) -> Result<(), StoreError> {
        let others = MOST - usize::from(keep.is_some());
        loop {
            let surplus: Vec<i64> = self
                .living_logins(principal)
                .filter(logins::Column::Kind.ne(NUMBER))
                .filter(logins::Column::Id.ne(keep.map_or(0, LoginId::get)))
                .select_only()
                .column(logins::Column::Id)
                .order_by_desc(logins::Column::Id)
                .offset(others as u64)
                .limit(BATCH)
                .into_tuple()
                .all(self.reads())
                .await?;
            if surplus.is_empty() {
                return Ok(());
            }
            self.change(async |tx| {
                self.mark_ended(tx, &surplus).await?;
                self.notify(tx, LOGINS_ENDED, principal.to_db(), None).await?;
                let ends = surplus.iter().map(|id| login_ended(LoginId::new(*id), false));
                Ok(Changed { value: (), news: ends.fold(News::none(), News::personal) })
            })
            .await?;
        }
    }

    /// Rows by their numbers alone, so that no other row is locked.
    async fn mark_ended(&self, tx: &Tx, ids: &[i64]) -> Result<(), StoreError> {
        let now = self.clock().now().micros();
        for ids in ids.chunks(BATCH as usize) {
            logins::Entity::update_many()
                .col_expr(logins::Column::EndedAt, Expr::value(now))
                .filter(logins::Column::Id.is_in(ids.iter().copied()))
                .filter(logins::Column::EndedAt.is_null())
                .exec(tx)
                .await?;
        }
        Ok(())
    }

    fn login_row(
        &self,
        principal: Principal,
        kind: i16,
        expires: Timestamp,
        hashes: Option<BrowserHashes>,
    ) -> logins::ActiveModel {
        logins::ActiveModel {
            principal: Set(principal.to_db()),
            kind: Set(kind),
            session_hash: Set(hashes.map(|(session, _)| session.to_vec())),
            key_hash: Set(hashes.map(|(_, key)| key.to_vec())),
            created_at: Set(self.clock().now().micros()),
            expires_at: Set(expires.micros()),
            ..Default::default()
        }
    }

    /// Whose browser login has this hash of its secret, and which it is.
    pub async fn find_login_by_session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(Principal, LoginId)>, StoreError> {
        self.find_login(logins::Column::SessionHash, hash).await
    }

    /// Whose browser login has this hash of its key, and which it is.
    pub async fn find_login_by_key(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(Principal, LoginId)>, StoreError> {
        self.find_login(logins::Column::KeyHash, hash).await
    }

    async fn find_login(
        &self,
        column: logins::Column,
        hash: &[u8; 32],
    ) -> Result<Option<(Principal, LoginId)>, StoreError> {
        let row = logins::Entity::find()
            .filter(column.eq(hash.to_vec()))
            .filter(logins::Column::ExpiresAt.gt(self.clock().now().micros()))
            .one(self.reads())
            .await?;
        let found = row.map(|row| {
            let principal = Principal::from_db(row.principal, "logins")?;
            Ok((principal, LoginId::new(row.id)))
        });
        found.transpose()
    }

    /// Puts another hash of the same password in the place of an older one.
    pub async fn renew_password(
        &self,
        principal: Principal,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            match principal {
                Principal::User(id) => {
                    users::Entity::update_many()
                        .col_expr(users::Column::PasswordHash, Expr::value(new))
                        .filter(users::Column::Id.eq(id.get()))
                        .filter(users::Column::PasswordHash.eq(old))
                        .exec(tx)
                        .await?;
                }
                Principal::Device(id) => {
                    devices::Entity::update_many()
                        .col_expr(devices::Column::PasswordHash, Expr::value(new))
                        .filter(devices::Column::Id.eq(id.get()))
                        .filter(devices::Column::PasswordHash.eq(old))
                        .exec(tx)
                        .await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// How an account and one of its logins stand now; none if there is no such account.
    pub async fn identity(
        &self,
        principal: Principal,
        login: LoginId,
    ) -> Result<Option<Identity>, StoreError> {
        let db = self.reads();
        let active = match principal {
            Principal::User(id) => users::Entity::find_by_id(id.get())
                .filter(users::Column::DeletedAt.is_null())
                .one(db)
                .await?
                .map(|row| row.is_active),
            Principal::Device(id) => devices::Entity::find_by_id(id.get())
                .filter(devices::Column::Live.eq(1))
                .one(db)
                .await?
                .map(|row| row.activated),
        };
        let Some(active) = active else { return Ok(None) };
        let row = logins::Entity::find_by_id(login.get())
            .filter(logins::Column::Principal.eq(principal.to_db()))
            .filter(logins::Column::EndedAt.is_null())
            .one(db)
            .await?;
        let login = match row {
            None => LoginState::Ended,
            Some(row) if row.expires_at <= self.clock().now().micros() => LoginState::Expired,
            Some(_) => LoginState::Living,
        };
        Ok(Some(Identity { active, login }))
    }

    /// Ends logins; whatever they identified is told at once. Says whether any had been alive.
    pub async fn end_logins(&self, ending: Ending) -> Result<bool, StoreError> {
        self.change(async |tx| {
            let (value, news) = self.end_logins_in(tx, ending).await?;
            Ok(Changed { value, news })
        })
        .await
    }

    /// The same within a transaction that does more.
    pub(super) async fn end_logins_in(
        &self,
        tx: &Tx,
        ending: Ending,
    ) -> Result<(bool, News), StoreError> {
        let mut which = self.living_logins(ending.principal);
        if let Some(only) = ending.only {
            which = which.filter(logins::Column::Id.eq(only.get()));
        }
        if let Some(except) = ending.except {
            which = which.filter(logins::Column::Id.ne(except.get()));
        }
        let ids: Vec<_> = which.all(tx).await?.into_iter().map(|row| row.id).collect();
        self.mark_ended(tx, &ids).await?;
        if ending.deactivated || self.living_logins(ending.principal).one(tx).await?.is_none() {
            self.void_relay(tx, ending.principal).await?;
        }
        self.notify(tx, LOGINS_ENDED, ending.principal.to_db(), None).await?;
        wait_for_batches(tx).await?;
        let ends = ids.iter().map(|id| login_ended(LoginId::new(*id), ending.deactivated));
        let news = ends.fold(News::none(), News::personal);
        Ok((!ids.is_empty(), news))
    }

    fn living_logins(&self, principal: Principal) -> Select<logins::Entity> {
        logins::Entity::find()
            .filter(logins::Column::Principal.eq(principal.to_db()))
            .filter(logins::Column::EndedAt.is_null())
            .filter(logins::Column::ExpiresAt.gt(self.clock().now().micros()))
    }

    /// What an account holds of the TURN server counts no longer.
    async fn void_relay(&self, tx: &Tx, principal: Principal) -> Result<(), StoreError> {
        let now = Expr::value(self.clock().now().micros());
        match principal {
            Principal::User(id) => {
                users::Entity::update_many()
                    .col_expr(users::Column::TurnAfter, now)
                    .filter(users::Column::Id.eq(id.get()))
                    .exec(tx)
                    .await?;
            }
            Principal::Device(id) => {
                devices::Entity::update_many()
                    .col_expr(devices::Column::TurnAfter, now)
                    .filter(devices::Column::Id.eq(id.get()))
                    .exec(tx)
                    .await?;
            }
        }
        Ok(())
    }
}

/// For the connections that a login identified.
pub(crate) fn login_ended(login: LoginId, deactivated: bool) -> Notice {
    Notice::new([Topic::Login(login)], Event::LoginEnded { login, deactivated })
}
