//! Accounts, and the face of an account that others see.

use std::sync::Arc;

use super::{CircleId, DeviceId, Principal, Timestamp, UserId};

/// A person with an account, without what must stay secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "an account has as many flags as it has")]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// The address, as typed.
    pub email: String,
    /// The public handle, unique with case.
    pub username: String,
    /// Given name, perhaps empty.
    pub first_name: String,
    /// Family name, perhaps empty.
    pub last_name: String,
    /// Day of birth, at midnight.
    pub birthday: Option<Timestamp>,
    /// When the account was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Whether it may log in.
    pub active: bool,
    /// Administrator; `ADMIN` in the NEO dialect.
    pub superuser: bool,
    /// May enter staff rooms and change rooms.
    pub staff: bool,
    /// Pays for nothing.
    pub employee: bool,
    /// Pays for nothing until then.
    pub premium_until: Option<Timestamp>,
    /// Coins.
    pub balance: i64,
    /// Whether a connection of any dialect was open when this was read.
    pub online: bool,
}

impl User {
    /// Whether staff rooms are open to this user; superusers count as staff.
    pub const fn is_staff(&self) -> bool {
        self.staff || self.superuser
    }

    /// What those see of it who share nothing with it: its names and dates.
    #[must_use]
    pub fn as_a_stranger(&self) -> Self {
        Self { email: String::new(), birthday: None, online: false, ..self.clone() }
    }

    /// What the circle sees that has invited it: the address that it invited, no names before they accept.
    #[must_use]
    pub fn as_invited(&self) -> Self {
        let (first_name, last_name) = (String::new(), String::new());
        Self { email: self.email.clone(), first_name, last_name, ..self.as_a_stranger() }
    }

    /// The name shown to people: the full name, else the handle.
    pub fn display_name(&self) -> String {
        match (self.first_name.trim(), self.last_name.trim()) {
            ("", "") => self.username.clone(),
            (first, "") => first.to_owned(),
            ("", last) => last.to_owned(),
            (first, last) => format!("{first} {last}"),
        }
    }
}

/// A machine with an account, without what must stay secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which it is.
    pub id: DeviceId,
    /// The circle it speaks for.
    pub circle: CircleId,
    /// Its name for people.
    pub name: String,
    /// Its name for logging in.
    pub username: String,
    /// Whether it may log in.
    pub activated: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Whether a connection was open when this was read.
    pub online: bool,
}

/// A principal with the face others see, copied into events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// A person.
    User(Arc<User>),
    /// A machine.
    Device(Arc<Device>),
}

impl Party {
    /// Whose face it is.
    pub fn principal(&self) -> Principal {
        match self {
            Self::User(user) => Principal::User(user.id),
            Self::Device(device) => Principal::Device(device.id),
        }
    }

    /// What those see of it who share nothing with it.
    #[must_use]
    pub fn as_a_stranger(&self) -> Self {
        match self {
            Self::User(user) => Self::User(user.as_a_stranger().into()),
            Self::Device(_) => self.clone(),
        }
    }

    /// The name by which dialects of names know it: a user's handle, a device's name.
    pub fn handle(&self) -> &str {
        match self {
            Self::User(user) => &user.username,
            Self::Device(device) => &device.name,
        }
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user) => Some(user),
            Self::Device(_) => None,
        }
    }

    /// The device, if it is one.
    pub fn device(&self) -> Option<&Arc<Device>> {
        match self {
            Self::User(_) => None,
            Self::Device(device) => Some(device),
        }
    }
}
