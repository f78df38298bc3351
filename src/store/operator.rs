//! Changes of accounts, by their users and by an operator beside servers that run.
//!
//! Each change writes a notice in its transaction, and servers act on it.

use entity::{ledger, users};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel as _,
    QueryFilter, QueryOrder, QuerySelect,
};

use super::locks::{require_administrator, wait_for_batches};
use super::{Changed, Ending, Store, StoreError, Tx};
use crate::domain::{Email, LoginId, Principal, Timestamp, User, UserId, Username};
use crate::hub::News;
use crate::policy::MayAdminister;

/// The notice by which processes tell each other that a user was made or changed.
pub const USER_CHANGED: &str = "user";

/// What is different about a user from now on; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The address.
    pub email: Option<Email>,
    /// The public handle.
    pub username: Option<Username>,
    /// What is stored of the password; none lets nobody log in by one. All logins end.
    pub password_hash: Option<Option<String>>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Day of birth.
    pub birthday: Option<Option<Timestamp>>,
    /// Whether the account may be used; if not, all logins end.
    pub active: Option<bool>,
    /// Whether it administrates the server.
    pub superuser: Option<bool>,
    /// Whether it enters staff rooms.
    pub staff: Option<bool>,
    /// Whether it posts without paying.
    pub employee: Option<bool>,
    /// Until when it does.
    pub premium_until: Option<Option<Timestamp>>,
    /// Coins.
    pub balance: Option<Amount>,
    /// The login that outlives a new password: the one that asked for it.
    pub keep_login: Option<LoginId>,
}

/// How many coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Exactly(i64),
    /// So many more than there are, or fewer.
    More(i64),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Amended {
    /// It is so now.
    To(Box<User>),
    /// The coins do not suffice, or would be too many.
    BadBalance(i64),
    /// There is no such user.
    Gone,
}

/// Numbers above it are not safe in every client.
const MAX_BALANCE: i64 = (1 << 53) - 1;

impl Amount {
    /// What there is afterwards, if that is possible.
    fn applied_to(self, balance: i64) -> Option<i64> {
        let new = match self {
            Self::Exactly(new) => new,
            Self::More(more) => balance.checked_add(more)?,
        };
        (0..=MAX_BALANCE).contains(&new).then_some(new)
    }
}

impl Store {
    /// Users by number, those after one.
    pub async fn list_users(&self, after: UserId, limit: u64) -> Result<Vec<User>, StoreError> {
        let rows = users::Entity::find()
            .filter(users::Column::Id.gt(after.get()))
            .filter(users::Column::DeletedAt.is_null())
            .order_by_asc(users::Column::Id)
            .limit(limit)
            .all(self.reads())
            .await?;
        Ok(rows.into_iter().map(|row| self.user(row)).collect())
    }

    /// Changes a user, and what follows from it: the ledger, and the end of logins.
    pub async fn change_user(&self, id: UserId, change: UserChange) -> Result<Amended, StoreError> {
        self.change_user_if(id, change, async |_| Ok(())).await
    }

    /// The same, by an administrator.
    pub async fn amend_user(
        &self,
        permit: &MayAdminister,
        id: UserId,
        change: UserChange,
    ) -> Result<Amended, StoreError> {
        let still = async |tx: &Tx| require_administrator(self, tx, permit).await;
        self.change_user_if(id, change, still).await
    }

    async fn change_user_if(
        &self,
        id: UserId,
        change: UserChange,
        still: impl AsyncFnOnce(&Tx) -> Result<(), StoreError>,
    ) -> Result<Amended, StoreError> {
        if change.active == Some(false) || change.password_hash.is_some() {
            // However many there are, the transaction itself stays short.
            self.end_surplus_logins(Principal::User(id), change.keep_login).await?;
        }
        self.change(async |tx| {
            still(tx).await?;
            let found = users::Entity::find_by_id(id.get())
                .filter(users::Column::DeletedAt.is_null())
                .lock_exclusive()
                .one(tx)
                .await?;
            let Some(old) = found else { return Ok(Changed::quietly(Amended::Gone)) };
            let amount = change.balance.unwrap_or(Amount::More(0));
            let Some(balance) = amount.applied_to(old.balance) else {
                return Ok(Changed::quietly(Amended::BadBalance(old.balance)));
            };
            let deactivated = change.active == Some(false);
            let ending = (deactivated || change.password_hash.is_some()).then_some(Ending {
                principal: Principal::User(id),
                only: None,
                except: change.keep_login.filter(|_| !deactivated),
                deactivated,
            });
            let lessens = change.staff == Some(false) || change.superuser == Some(false);
            let paid = balance - old.balance;
            let mut row = self.changed_row(old, change);
            row.balance = Set(balance);
            let row = row.update(tx).await?;
            if paid != 0 {
                self.book(tx, id, paid, balance).await?;
            }
            let news = match ending {
                Some(ending) => self.end_logins_in(tx, ending).await?.1,
                None => News::none(),
            };
            self.notify(tx, USER_CHANGED, id.get(), None).await?;
            if lessens {
                wait_for_batches(tx).await?;
            }
            Ok(Changed { value: Amended::To(Box::new(self.user(row))), news })
        })
        .await
    }

    fn changed_row(&self, old: users::Model, change: UserChange) -> users::ActiveModel {
        let now = self.clock().now().micros();
        let mut row = old.into_active_model();
        if let Some(email) = change.email {
            row.email_key = Set(email.key());
            row.email = Set(email.as_str().to_owned());
        }
        let set = |value: Option<bool>, column: &mut sea_orm::ActiveValue<bool>| {
            if let Some(value) = value {
                *column = Set(value);
            }
        };
        set(change.active, &mut row.is_active);
        set(change.superuser, &mut row.is_superuser);
        set(change.staff, &mut row.is_staff);
        set(change.employee, &mut row.is_employee);
        row.username = change.username.map_or(row.username, |name| Set(name.as_str().to_owned()));
        row.password_hash = change.password_hash.map_or(row.password_hash, Set);
        row.first_name = change.first_name.map_or(row.first_name, Set);
        row.last_name = change.last_name.map_or(row.last_name, Set);
        let micros = |time: Option<Timestamp>| Set(time.map(Timestamp::micros));
        row.birthday = change.birthday.map_or(row.birthday, micros);
        row.premium_until = change.premium_until.map_or(row.premium_until, micros);
        row.updated_at = Set(now);
        row
    }

    async fn book(&self, tx: &Tx, user: UserId, amount: i64, after: i64) -> Result<(), StoreError> {
        let entry = ledger::ActiveModel {
            user_id: Set(user.get()),
            amount: Set(amount),
            balance_after: Set(after),
            note: Set("set by the operator".to_owned()),
            created_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        ledger::Entity::insert(entry).exec_without_returning(tx).await?;
        Ok(())
    }
}
