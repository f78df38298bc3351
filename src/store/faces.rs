//! Accounts as others see them: rows of `users` and `devices` with what the roster knows.

use std::collections::{BTreeSet, HashMap};

use entity::{devices, users};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::conversations::NAMED;
use super::{Store, StoreError};
use crate::domain::{CircleId, Device, DeviceId, Party, Principal, Timestamp, User, UserId};

impl Store {
    /// A row as the user it stands for.
    pub(super) fn user(&self, row: users::Model) -> User {
        let id = UserId::new(row.id);
        User {
            id,
            email: row.email,
            username: row.username,
            first_name: row.first_name,
            last_name: row.last_name,
            birthday: row.birthday.map(Timestamp::from_micros),
            created: Timestamp::from_micros(row.created_at),
            updated: Timestamp::from_micros(row.updated_at),
            active: row.is_active,
            superuser: row.is_superuser,
            staff: row.is_staff,
            employee: row.is_employee,
            premium_until: row.premium_until.map(Timestamp::from_micros),
            balance: row.balance,
            online: self.hub().roster().is_online(Principal::User(id)),
        }
    }

    /// A row as the device it stands for.
    pub(super) fn device(&self, row: devices::Model) -> Device {
        let id = DeviceId::new(row.id);
        Device {
            id,
            circle: CircleId::new(row.circle_id),
            name: row.name,
            username: row.username,
            activated: row.activated,
            created: Timestamp::from_micros(row.created_at),
            updated: Timestamp::from_micros(row.updated_at),
            online: self.hub().roster().is_online(Principal::Device(id)),
        }
    }

    /// The face of an account that something in the database names; it may be gone by now.
    pub(super) async fn face(
        &self,
        db: &impl ConnectionTrait,
        principal: Principal,
    ) -> Result<Party, StoreError> {
        match principal {
            Principal::User(id) => {
                let row = users::Entity::find_by_id(id.get()).one(db).await?;
                row.map(|row| Party::User(self.user(row).into()))
            }
            Principal::Device(id) => {
                let row = devices::Entity::find_by_id(id.get()).one(db).await?;
                row.map(|row| Party::Device(self.device(row).into()))
            }
        }
        .ok_or_else(|| StoreError::Impossible {
            table: "users",
            what: format!("{principal:?} is named and does not exist"),
        })
    }

    /// The faces of many accounts; those that are gone are left out.
    pub(super) async fn faces(
        &self,
        named: &BTreeSet<Principal>,
    ) -> Result<HashMap<Principal, Party>, StoreError> {
        let mut found = HashMap::new();
        let ids: Vec<_> = named.iter().filter_map(|one| one.user()).map(UserId::get).collect();
        for ids in ids.chunks(NAMED) {
            let rows = users::Entity::find()
                .filter(users::Column::Id.is_in(ids.iter().copied()))
                .all(self.reads())
                .await?;
            let faces = rows.into_iter().map(|row| Party::User(self.user(row).into()));
            found.extend(faces.map(|face| (face.principal(), face)));
        }
        let ids: Vec<_> = named.iter().filter_map(|one| one.device()).map(DeviceId::get).collect();
        for ids in ids.chunks(NAMED) {
            let rows = devices::Entity::find()
                .filter(devices::Column::Id.is_in(ids.iter().copied()))
                .all(self.reads())
                .await?;
            let faces = rows.into_iter().map(|row| Party::Device(self.device(row).into()));
            found.extend(faces.map(|face| (face.principal(), face)));
        }
        Ok(found)
    }

    /// A user who has not been deleted.
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = users::Entity::find_by_id(id.get())
            .filter(users::Column::DeletedAt.is_null())
            .one(self.reads())
            .await?;
        Ok(row.map(|row| self.user(row)))
    }

    /// A device that has not been deleted.
    pub async fn find_device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        let row = devices::Entity::find_by_id(id.get())
            .filter(devices::Column::Live.eq(1))
            .one(self.reads())
            .await?;
        Ok(row.map(|row| self.device(row)))
    }

    /// The face of an account, if it exists.
    pub async fn find_party(&self, principal: Principal) -> Result<Option<Party>, StoreError> {
        Ok(match principal {
            Principal::User(id) => self.find_user(id).await?.map(|user| Party::User(user.into())),
            Principal::Device(id) => {
                self.find_device(id).await?.map(|device| Party::Device(device.into()))
            }
        })
    }
}
