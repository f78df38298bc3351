//! Rows to domain and back.
//!
//! An impossible row is an error with a name, never a guess.

use crate::domain::{DeviceId, Principal, UserId};

use super::StoreError;

impl Principal {
    /// As columns hold it: users count upwards from one, devices downwards from minus one.
    pub(crate) const fn to_db(self) -> i64 {
        match self {
            Self::User(id) => id.get(),
            Self::Device(id) => -id.get(),
        }
    }

    /// From a column of the table named.
    pub(crate) fn from_db(raw: i64, table: &'static str) -> Result<Self, StoreError> {
        match raw {
            1.. => Ok(Self::User(UserId::new(raw))),
            ..=-1 => Ok(Self::Device(DeviceId::new(-raw))),
            0 => Err(StoreError::Impossible { table, what: "a principal without a number".into() }),
        }
    }
}

/// The bytes of a column that always holds so many.
pub(crate) fn bytes<const N: usize>(
    raw: &[u8],
    table: &'static str,
) -> Result<[u8; N], StoreError> {
    raw.try_into().map_err(|_| StoreError::Impossible {
        table,
        what: format!("{} bytes where {N} are due", raw.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_survive_the_database() {
        for principal in [Principal::User(UserId::new(7)), Principal::Device(DeviceId::new(7))] {
            assert_eq!(Principal::from_db(principal.to_db(), "members").ok(), Some(principal));
        }
        assert!(Principal::from_db(0, "members").is_err());
    }
}
