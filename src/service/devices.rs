//! Devices: set up by administrators, logged in and out, shown, renamed.

use std::net::IpAddr;

use super::accounts::{too_often, unhashed, user_of, wrong_password};
use super::circles::{check_title, unknown_circle};
use super::{Caller, MessageList, Services, found};
use crate::auth::{Account, Attempt};
use crate::domain::{
    Circle, CircleChange, CircleId, Device, DeviceId, Event, Media, MediaOwner, Principal, Refusal,
    RefusalKind, Topic,
};
use crate::hub::{News, Notice};
use crate::policy::{self, MayEquip};
use crate::store::{DeviceKeys, NewDevice, StoreError};

/// What generated names, passwords and keys consist of.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Characters of a device's user name at most.
const USERNAME_CHARS: usize = 120;

/// A device with what it wrote.
#[derive(Clone, Debug)]
pub struct DeviceContent {
    /// The device.
    pub device: Device,
    /// Its circle.
    pub circle: Option<Circle>,
    /// What it wrote.
    pub messages: MessageList,
    /// Its files.
    pub medias: Vec<Media>,
}

impl Services {
    /// Logs a device in: a login of its own, and its token.
    pub async fn log_device_in(
        &self,
        username: &str,
        password: String,
        address: IpAddr,
    ) -> Result<String, Refusal> {
        let (device, proven) = self.prove_device(username, password, address).await?;
        if !device.activated {
            return Err(Refusal::new(RefusalKind::Inactive, "the device is not activated"));
        }
        let principal = Principal::Device(device.id);
        let expires = self.auth().tokens.expiry(principal);
        let login = self.store().start_proven_login(principal, expires, &proven, None).await?;
        let login = login.ok_or_else(wrong_password)?;
        self.tell_circle_of(&device, CircleChange::DeviceConnected(device.id)).await;
        Ok(self.auth().tokens.issue(principal, login, expires))
    }

    async fn prove_device(
        &self,
        username: &str,
        password: String,
        address: IpAddr,
    ) -> Result<(Device, String), Refusal> {
        let found = self.store().find_device_by_username(username).await?;
        let account = found.as_ref().map_or(Account::Unknown(username), |(device, _)| {
            Account::Known(Principal::Device(device.id))
        });
        let stored = found.as_ref().map(|(_, stored)| stored.clone());
        let attempt = Attempt { account, address, stored };
        let verdict = self.auth().prove(attempt, password.clone()).await.map_err(too_often)?;
        let (device, stored) = found.ok_or_else(unknown_device)?;
        let principal = Principal::Device(device.id);
        let proven = self.proven(principal, verdict, stored, password).await?;
        Ok((device, proven))
    }

    /// Ends the login by which a device asks.
    pub async fn log_device_out(&self, caller: &Caller) -> Result<(), Refusal> {
        let id = caller.principal.device().ok_or_else(unknown_device)?;
        let device = self.find_device(id).await?;
        self.end_login(caller).await?;
        self.tell_circle_of(&device, CircleChange::DeviceDisconnected(id)).await;
        Ok(())
    }

    async fn tell_circle_of(&self, device: &Device, change: CircleChange) {
        let circle = device.circle;
        let event = Event::CircleChanged { circle, change };
        let notice = Notice::new([Topic::Circle(circle)], event);
        self.store().tell(News::none().circle(circle, notice)).await;
    }

    /// Gives a device another password, which ends all its logins.
    pub async fn change_device_password(
        &self,
        username: &str,
        previous: String,
        new: String,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let (device, _) = self.prove_device(username, previous, address).await?;
        self.check_password(&new)?;
        let hash = self.auth().passwords.hash(new).await.map_err(|error| unhashed(&error))?;
        found(self.store().set_device_password(device.id, hash).await?, unknown_device)
    }

    /// A device with what it wrote, for those who share its circle or a conversation.
    pub async fn device_content(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<DeviceContent, Refusal> {
        let device = self.find_device(id).await?;
        let account = Principal::Device(id);
        let shares = self.store().shares(caller.principal, account).await?;
        policy::may_see_account(caller.principal, account, shares)?;
        self.content_of(caller, device).await
    }

    async fn content_of(&self, caller: &Caller, device: Device) -> Result<DeviceContent, Refusal> {
        let store = self.store();
        let written = store.outline_of_device(&device, caller.principal, self.cap()).await?;
        Ok(DeviceContent {
            circle: store.find_circle(device.circle).await?,
            messages: MessageList::new(store.clone(), None, written),
            medias: store.list_medias(MediaOwner::Device(device.id), None).await?,
            device,
        })
    }

    /// Renames a device.
    pub async fn rename_device(
        &self,
        caller: &Caller,
        id: DeviceId,
        name: Option<String>,
    ) -> Result<(), Refusal> {
        let device = self.find_device(id).await?;
        let standing = self.circle_standing(caller, device.circle).await?;
        let permit = policy::may_rename_device(&standing, id)?;
        name.as_deref().map_or(Ok(()), |name| check_title("name", name))?;
        found(self.store_for(caller).rename_device(permit, name).await?, unknown_device)
    }

    /// Whether a user name may still be given to a device.
    pub async fn is_device_name_free(&self, username: &str) -> Result<bool, Refusal> {
        Ok(self.store().find_device_by_username(username).await?.is_none())
    }

    /// Refuses while devices are not for sale.
    pub fn require_device_sale(&self) -> Result<(), Refusal> {
        if self.neo().device_purchase {
            return Ok(());
        }
        Err(Refusal::forbidden("devices are not for sale here (neo.device_purchase)"))
    }

    /// A trial purchase: the circle gets its device, and the buyer becomes its `ADMIN`.
    pub async fn buy_device(
        &self,
        caller: &Caller,
        id: CircleId,
        name: Option<String>,
    ) -> Result<DeviceContent, Refusal> {
        self.require_device_sale()?;
        user_of(caller)?;
        let standing = self.circle_standing(caller, id).await?;
        let permit = policy::may_buy_device(&standing)?;
        let name = name.unwrap_or_else(|| format!("{}'s device", standing.circle.name));
        let name = name.chars().take(super::circles::TITLE_CHARS).collect();
        let device = self.start_device(caller, permit, name, None).await?;
        self.content_of(caller, device).await
    }

    /// Makes a device with a generated password and key.
    pub(super) async fn start_device(
        &self,
        caller: &Caller,
        permit: MayEquip,
        name: String,
        username: Option<String>,
    ) -> Result<Device, Refusal> {
        check_title("name", &name)?;
        let chosen = username.is_some();
        for _ in 0..3 {
            let first_password = generated(LETTERS_AND_DIGITS, 10);
            let hash = self
                .auth()
                .passwords
                .hash(first_password.clone())
                .await
                .map_err(|error| unhashed(&error))?;
            let new = NewDevice {
                name: name.clone(),
                username: username.clone().unwrap_or_else(|| generated(LETTERS, 12)),
                password_hash: hash,
                first_password,
                activation_key: generated(LETTERS_AND_DIGITS, 20),
            };
            match self.store_for(caller).start_device(&permit, new).await {
                Err(error) if !chosen && error.is_duplicate_of("uq_devices_username") => {}
                outcome => return outcome.map_err(taken),
            }
        }
        Err(Refusal::unavailable())
    }

    /// A device that exists.
    pub(super) async fn find_device(&self, id: DeviceId) -> Result<Device, Refusal> {
        self.store().find_device(id).await?.ok_or_else(unknown_device)
    }

    /// What sets a device up, as long as its first password is readable.
    pub(super) async fn device_keys(&self, id: DeviceId) -> Result<DeviceKeys, Refusal> {
        self.store().find_device_keys(id).await?.ok_or_else(unknown_device)
    }
}

/// A user name that a device may be given.
pub(super) fn check_device_username(username: &str) -> Result<(), Refusal> {
    let fits = (1..=USERNAME_CHARS).contains(&username.chars().count());
    // Names with this sign are those of devices that were removed.
    if !fits || username.starts_with('~') || username.chars().any(char::is_control) {
        return Err(Refusal::malformed("username has 1 to 120 characters and no `~` in front"));
    }
    Ok(())
}

fn generated(alphabet: &[u8], length: usize) -> String {
    let letter = |_| char::from(alphabet[rand::random_range(0..alphabet.len())]);
    (0..length).map(letter).collect()
}

fn taken(error: StoreError) -> Refusal {
    if error.is_duplicate_of("uq_devices_circle_id_live") {
        return Refusal::conflict("the circle has a device already");
    }
    if error.is_duplicate_of("uq_devices_username") {
        return Refusal::conflict("the user name is taken");
    }
    match error {
        StoreError::Dangling(_) => unknown_circle(),
        other => other.into(),
    }
}

pub(super) fn unknown_device() -> Refusal {
    Refusal::not_found("there is no such device")
}
