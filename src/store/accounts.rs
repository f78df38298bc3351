//! Accounts of people, as they are read and made.
//!
//! Deleted accounts are as if they had never been; their rows stay for what they wrote.

use entity::users;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, Select};

use super::{Store, StoreError, Tx, USER_CHANGED};
use crate::domain::{Email, Timestamp, User, UserId, Username};

/// Handles that are tried one after the other before chance decides.
const NUMBERED: u64 = 9;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The address.
    pub email: Email,
    /// The public handle; made from the address if there is none.
    pub username: Option<Username>,
    /// What is stored of the password; none lets nobody log in by one.
    pub password_hash: Option<String>,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Day of birth.
    pub birthday: Option<Timestamp>,
    /// Whether it administrates the server.
    pub superuser: bool,
    /// Whether it enters staff rooms.
    pub staff: bool,
    /// Whether it posts without paying.
    pub employee: bool,
    /// Until when it does.
    pub premium_until: Option<Timestamp>,
    /// Coins.
    pub balance: i64,
}

impl NewUser {
    /// Somebody with an address and nothing else.
    pub fn called(email: Email) -> Self {
        Self {
            email,
            username: None,
            password_hash: None,
            first_name: String::new(),
            last_name: String::new(),
            birthday: None,
            superuser: false,
            staff: false,
            employee: false,
            premium_until: None,
            balance: 0,
        }
    }
}

/// Users that are not deleted.
fn living() -> Select<users::Entity> {
    users::Entity::find().filter(users::Column::DeletedAt.is_null())
}

impl Store {
    /// A user by address, in any case.
    pub async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let row =
            living().filter(users::Column::EmailKey.eq(email.key())).one(self.reads()).await?;
        Ok(row.map(|row| self.user(row)))
    }

    /// The account with this address, and what is stored of its password.
    pub async fn find_password(
        &self,
        email: &str,
    ) -> Result<Option<(User, Option<String>)>, StoreError> {
        let key = email.trim().to_lowercase();
        let row = living().filter(users::Column::EmailKey.eq(key)).one(self.reads()).await?;
        Ok(row.map(|mut row| {
            let hash = row.password_hash.take();
            (self.user(row), hash)
        }))
    }

    /// The same by the public handle.
    pub async fn find_password_by_username(
        &self,
        username: &str,
    ) -> Result<Option<(User, Option<String>)>, StoreError> {
        let row = living().filter(users::Column::Username.eq(username)).one(self.reads()).await?;
        // Not every database compares with case.
        let row = row.filter(|row| row.username == username);
        Ok(row.map(|mut row| {
            let hash = row.password_hash.take();
            (self.user(row), hash)
        }))
    }

    /// Notes where pushes to a user's phone go; whoever had the token before loses it.
    pub async fn set_android_token(&self, id: UserId, token: String) -> Result<(), StoreError> {
        self.write(async |tx| {
            users::Entity::update_many()
                .col_expr(users::Column::AndroidToken, Expr::value(Option::<String>::None))
                .filter(users::Column::AndroidToken.eq(token.as_str()))
                .exec(tx)
                .await?;
            users::Entity::update_many()
                .col_expr(users::Column::AndroidToken, Expr::value(token))
                .filter(users::Column::Id.eq(id.get()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// Makes a user. Taken names are `Duplicate` of `uq_users_email_key` or `uq_users_username`.
    pub async fn start_user(&self, new: NewUser) -> Result<User, StoreError> {
        let made_up = new.username.is_none();
        for _ in 0..2 {
            match self.try_to_start_user(new.clone()).await {
                // Another process took the handle that was free a moment ago.
                Err(error) if made_up && error.is_duplicate_of("uq_users_username") => {}
                result => return result,
            }
        }
        self.try_to_start_user(new).await
    }

    async fn try_to_start_user(&self, new: NewUser) -> Result<User, StoreError> {
        self.write(async |tx| {
            let username = match new.username {
                Some(username) => username,
                None => free_username(tx, &new.email).await?,
            };
            let now = self.clock().now();
            let row = users::ActiveModel {
                email_key: Set(new.email.key()),
                email: Set(new.email.as_str().to_owned()),
                username: Set(username.as_str().to_owned()),
                password_hash: Set(new.password_hash),
                first_name: Set(new.first_name),
                last_name: Set(new.last_name),
                birthday: Set(new.birthday.map(Timestamp::micros)),
                created_at: Set(now.micros()),
                updated_at: Set(now.micros()),
                is_active: Set(true),
                is_superuser: Set(new.superuser),
                is_staff: Set(new.staff),
                is_employee: Set(new.employee),
                premium_until: Set(new.premium_until.map(Timestamp::micros)),
                balance: Set(new.balance),
                ..Default::default()
            };
            let row = users::Entity::insert(row).exec_with_returning(tx).await?;
            self.notify(tx, USER_CHANGED, row.id, None).await?;
            Ok(self.user(row))
        })
        .await
    }
}

/// A handle made from the address that nobody has: as it is, with a small number, with a large one.
async fn free_username(tx: &Tx, email: &Email) -> Result<Username, StoreError> {
    let made = Username::made_from(email);
    let small = (2..=NUMBERED).map(|number| made.numbered(number));
    let large = std::iter::repeat_with(|| made.numbered(rand::random_range(10..1 << 40)));
    for username in std::iter::once(made.clone()).chain(small).chain(large) {
        let taken = users::Entity::find()
            .filter(users::Column::Username.eq(username.as_str()))
            .one(tx)
            .await?;
        if taken.is_none() {
            return Ok(username);
        }
    }
    Ok(made)
}
