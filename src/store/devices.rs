//! Devices: made for a circle, activated, renamed, removed.
//!
//! A removed device keeps its row, because messages name it; its user name becomes free.

use entity::{circle_members, devices};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};

use super::companies::changed;
use super::locks::{
    circle_standing_under_lock, lock_circle, require_active_administrator, require_administrator,
};
use super::{Changed, Ending, Store, StoreError, Tx};
use crate::domain::{CircleChange, CircleId, Device, DeviceId, Principal, Privilege, UserId};
use crate::hub::News;
use crate::policy::{self, MayAdminister, MayEquip, MayRenameDevice};

/// A device before it is stored.
#[derive(Clone)]
pub struct NewDevice {
    /// Its name for people.
    pub name: String,
    /// Its name for logging in.
    pub username: String,
    /// What is stored of its password.
    pub password_hash: String,
    /// The password itself, which administrators may read until the device is activated.
    pub first_password: String,
    /// What activates it.
    pub activation_key: String,
}

impl std::fmt::Debug for NewDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewDevice").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What an administrator hands to whoever sets a device up.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    /// What activates it.
    pub key: String,
    /// Its name for logging in.
    pub username: String,
    /// Its first password; gone once it is activated.
    pub password: Option<String>,
}

impl std::fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKeys(..)")
    }
}

impl Store {
    /// Gives a circle its device. A circle that has one is `Duplicate` of
    /// `uq_devices_circle_id_live`, a taken name of `uq_devices_username`.
    pub async fn start_device(
        &self,
        permit: &MayEquip,
        new: NewDevice,
    ) -> Result<Device, StoreError> {
        let (id, now) = (permit.circle(), self.clock().now().micros());
        let row = devices::ActiveModel {
            circle_id: Set(id.get()),
            live: Set(Some(1)),
            name: Set(new.name),
            username: Set(new.username),
            password_hash: Set(new.password_hash),
            first_password: Set(Some(new.first_password)),
            activation_key: Set(new.activation_key),
            activated: Set(false),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        let outcome = self
            .change(async |tx| {
                self.require_equipping(tx, permit).await?;
                let device = self.device(row.insert(tx).await?);
                if let Some(buyer) = permit.buyer() {
                    self.make_admin(tx, id, buyer).await?;
                }
                let notice = changed(id, CircleChange::DeviceCreated(device.id));
                Ok(Changed { value: device, news: News::none().circle(id, notice) })
            })
            .await;
        self.forget_standings();
        outcome
    }

    /// Judges anew, behind the lock of the circle.
    async fn require_equipping(&self, tx: &Tx, permit: &MayEquip) -> Result<(), StoreError> {
        lock_circle(tx, permit.circle()).await?;
        if let Some(buyer) = permit.buyer() {
            let buyer = Principal::User(buyer);
            let standing = circle_standing_under_lock(tx, buyer, permit.circle()).await?;
            policy::may_buy_device(&standing)?;
        } else if let Some(administrator) = permit.administrator() {
            require_active_administrator(self, tx, administrator).await?;
        }
        Ok(())
    }

    async fn make_admin(&self, tx: &Tx, circle: CircleId, user: UserId) -> Result<(), StoreError> {
        circle_members::Entity::update_many()
            .set(circle_members::ActiveModel {
                privilege: Set(Privilege::Admin.as_str().to_owned()),
                updated_at: Set(self.clock().now().micros()),
                ..Default::default()
            })
            .filter(circle_members::Column::CircleId.eq(circle.get()))
            .filter(circle_members::Column::UserId.eq(user.get()))
            .exec(tx)
            .await?;
        Ok(())
    }

    /// The device that logs in by this name, and what is stored of its password.
    pub async fn find_device_by_username(
        &self,
        username: &str,
    ) -> Result<Option<(Device, String)>, StoreError> {
        let row = devices::Entity::find()
            .filter(devices::Column::Username.eq(username))
            .filter(devices::Column::Live.eq(1))
            .one(self.reads())
            .await?;
        Ok(row.map(|row| {
            let hash = row.password_hash.clone();
            (self.device(row), hash)
        }))
    }

    /// What sets a device up.
    pub async fn find_device_keys(&self, id: DeviceId) -> Result<Option<DeviceKeys>, StoreError> {
        let row = devices::Entity::find_by_id(id.get())
            .filter(devices::Column::Live.eq(1))
            .one(self.reads())
            .await?;
        Ok(row.map(|row| DeviceKeys {
            key: row.activation_key,
            username: row.username,
            password: row.first_password,
        }))
    }

    /// The devices of the circles in which a user is `ADMIN`.
    pub async fn list_devices_of_admin(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        let circles: Vec<_> = circle_members::Entity::find()
            .filter(circle_members::Column::UserId.eq(user.get()))
            .filter(circle_members::Column::Privilege.eq(Privilege::Admin.as_str()))
            .all(self.reads())
            .await?
            .into_iter()
            .map(|row| row.circle_id)
            .collect();
        let rows = devices::Entity::find()
            .filter(devices::Column::CircleId.is_in(circles))
            .filter(devices::Column::Live.eq(1))
            .order_by_asc(devices::Column::Id)
            .all(self.reads())
            .await?;
        Ok(rows.into_iter().map(|row| self.device(row)).collect())
    }

    /// Renames a device, or just tells that it was touched; says whether it still was there.
    pub async fn rename_device(
        &self,
        permit: MayRenameDevice,
        name: Option<String>,
    ) -> Result<bool, StoreError> {
        let (id, circle) = (permit.device(), permit.circle());
        let row = devices::ActiveModel {
            name: name.map_or_else(Default::default, Set),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        self.change(async |tx| {
            let standing = circle_standing_under_lock(tx, permit.by(), circle).await?;
            policy::may_rename_device(&standing, id)?;
            let value = update(tx, id, row).await?;
            let notice = changed(circle, CircleChange::DeviceUpdated(id));
            Ok(Changed { value, news: News::none().circle(circle, notice) })
        })
        .await
    }

    /// Switches a device on; its first password is readable no longer.
    pub async fn activate_device(
        &self,
        permit: &MayAdminister,
        id: DeviceId,
    ) -> Result<bool, StoreError> {
        let row = devices::ActiveModel {
            activated: Set(true),
            first_password: Set(None),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        let outcome = self
            .write(async |tx| {
                require_administrator(self, tx, permit).await?;
                update(tx, id, row).await
            })
            .await;
        self.forget_standings();
        outcome
    }

    /// Gives a device another password, and ends all its logins.
    pub async fn set_device_password(
        &self,
        id: DeviceId,
        hash: String,
    ) -> Result<bool, StoreError> {
        let row = devices::ActiveModel {
            password_hash: Set(hash),
            first_password: Set(None),
            updated_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        self.end_surplus_logins(Principal::Device(id), None).await?;
        self.change(async |tx| {
            let value = update(tx, id, row).await?;
            let (_, news) = self.end_logins_in(tx, all_of(id, false)).await?;
            Ok(Changed { value, news })
        })
        .await
    }

    /// Removes a device; says whether it still was there.
    pub async fn remove_device(
        &self,
        permit: &MayAdminister,
        id: DeviceId,
    ) -> Result<bool, StoreError> {
        self.end_surplus_logins(Principal::Device(id), None).await?;
        let outcome = self
            .change(async |tx| {
                require_administrator(self, tx, permit).await?;
                let there = devices::Entity::find_by_id(id.get())
                    .filter(devices::Column::Live.eq(1))
                    .one(tx)
                    .await?;
                if there.is_none() {
                    return Ok(Changed::quietly(false));
                }
                let news = self.remove_device_in(tx, id).await?;
                Ok(Changed { value: true, news })
            })
            .await;
        self.forget_standings();
        outcome
    }

    /// The same within a transaction that does more. The end of its logins puts its
    /// connections out of everything they listen to.
    pub(super) async fn remove_device_in(&self, tx: &Tx, id: DeviceId) -> Result<News, StoreError> {
        devices::Entity::update_many()
            .set(devices::ActiveModel {
                live: Set(None),
                username: Set(format!("~{id}")),
                updated_at: Set(self.clock().now().micros()),
                ..Default::default()
            })
            .filter(devices::Column::Id.eq(id.get()))
            .exec(tx)
            .await?;
        let (_, news) = self.end_logins_in(tx, all_of(id, true)).await?;
        Ok(news)
    }
}

const fn all_of(device: DeviceId, deactivated: bool) -> Ending {
    Ending { principal: Principal::Device(device), only: None, except: None, deactivated }
}

async fn update(tx: &Tx, id: DeviceId, row: devices::ActiveModel) -> Result<bool, StoreError> {
    let done = devices::Entity::update_many()
        .set(row)
        .filter(devices::Column::Id.eq(id.get()))
        .filter(devices::Column::Live.eq(1))
        .exec(tx)
        .await?;
    Ok(done.rows_affected > 0)
}
