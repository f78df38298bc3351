//! What can go wrong below us, sorted by what the caller can do about it.
//!
//! A fault that passes by itself is `Unavailable`; the others stay. Which is which is decided here, from the codes of
//! the three databases.

use sea_orm::sqlx;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlErr};

use crate::domain::Refusal;

/// A fault of the database, or of what lies in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot do it now; nothing was stored, and trying again may help.
    #[error("the database is not available")]
    Unavailable(#[source] DbErr),
    /// The same, as the time for it ran out.
    #[error("the database did not answer in time; nothing was stored")]
    TooSlow,
    /// The connection was lost while a transaction was being committed: it may be stored, and it may not.
    #[error("whether the change was stored is unknown")]
    OutcomeUnknown(#[source] Option<DbErr>),
    /// Another row has this value already; the name is that of the constraint, `uq_users_username` say.
    #[error("`{constraint}` would no longer be unique")]
    Duplicate {
        /// The constraint, by the name that the migration gave it.
        constraint: String,
        /// What the database said.
        source: DbErr,
    },
    /// A row refers to another that is not there.
    #[error("a row would refer to nothing")]
    Dangling(#[source] DbErr),
    /// Everything else that the database refuses.
    #[error("the database refused a statement")]
    Database(#[source] DbErr),
    /// A row that cannot be.
    #[error("impossible row in `{table}`: {what}")]
    Impossible {
        /// Where it lies.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The schema is ahead of this program.
    #[error(
        "the database was made by a newer version of klatsch (it has the migration `{0}`); \
         start that version, or restore a backup"
    )]
    Newer(String),
    /// Others migrate, or seem to.
    #[error(
        "others have held the lock of migrations for {seconds} s{holder}; if nobody migrates now, end that session of \
         the database, which may be one of a pooler"
    )]
    Locked {
        /// How long one has waited.
        seconds: u64,
        /// Who holds it, if that is known, in parentheses.
        holder: String,
    },
    /// The address of the database makes no sense; the sentence says why.
    #[error("{0}")]
    Address(String),
    /// What was found in the transaction forbids the change; nothing was stored.
    #[error(transparent)]
    Refused(Refusal),
}

impl StoreError {
    /// Whether the fault may pass by itself, so that trying again makes sense.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::TooSlow => true,
            Self::OutcomeUnknown(_)
            | Self::Duplicate { .. }
            | Self::Dangling(_)
            | Self::Database(_)
            | Self::Impossible { .. }
            | Self::Newer(_)
            | Self::Locked { .. }
            | Self::Address(_)
            | Self::Refused(_) => false,
        }
    }

    /// Whether the database itself said so, rather than the way to it.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Unavailable(error) | Self::Database(error) => {
                matches!(driver_error(error), Some(sqlx::Error::Database(_)))
                    && !is_connection_lost(error)
            }
            _ => false,
        }
    }

    /// Whether the value is taken in the constraint of that name.
    pub fn is_duplicate_of(&self, name: &str) -> bool {
        matches!(self, Self::Duplicate { constraint, .. } if constraint == name)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Refusal {
    /// Logs the fault once, here, and tells the client nothing of it.
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(refusal) = error {
            return refusal;
        }
        tracing::error!(error = &error as &dyn std::error::Error, "storage failed");
        match error {
            StoreError::OutcomeUnknown(_) => Self::unknown(),
            _ => Self::unavailable(),
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if is_transient(&error) {
            return Self::Unavailable(error);
        }
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(message)) => {
                Self::Duplicate { constraint: constraint(&error, &message), source: error }
            }
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => Self::Dangling(error),
            _ => Self::Database(error),
        }
    }
}

/// What the driver said, if the error is one of the driver's.
pub(super) fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// Whether the connections were closed meanwhile.
pub(super) fn is_pool_closed(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sqlx::Error::PoolClosed))
        || matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
}

/// Whether an error passes by itself.
pub(super) fn is_transient(error: &DbErr) -> bool {
    match driver_error(error) {
        None => matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)),
        Some(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                is_transient_mysql(error.number())
            } else if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                code.parse().is_ok_and(is_transient_sqlite)
            } else {
                is_transient_postgres(&code)
            }
        }
        Some(error) => is_lost(error),
    }
}

/// Whether the way to the database is gone, so that nobody knows what it did last.
pub(super) fn is_connection_lost(error: &DbErr) -> bool {
    match driver_error(error) {
        None => matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)),
        Some(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                // 1053 shutdown, 1927 connection killed.
                matches!(error.number(), 1053 | 1927)
            } else if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                // An error of the disk: the commit may be in the file.
                code.parse::<i32>().is_ok_and(|code| code & 0xff == 10)
            } else {
                code.starts_with("08") || code.starts_with("57P")
            }
        }
        Some(error) => is_lost(error),
    }
}

fn is_lost(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Busy, locked, input or output, full, cannot open; extended codes count as their kind.
pub(super) fn is_transient_sqlite(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)
}

/// Serialization and deadlock (40), shutdown and start (57P), no room or connections (53), the connection (08), a
/// lock or a statement that took too long, a server that only reads for now.
fn is_transient_postgres(code: &str) -> bool {
    ["40", "57P", "53", "08"].iter().any(|class| code.starts_with(class))
        || ["55P03", "57014", "25006", "25P03"].contains(&code)
}

/// Lock wait and deadlock (1205, 1213), no connections (1040), no room (1021, 1114), shutdown and lost connections
/// (1053, 1927), read only for now (1290, 1836), statements that took too long (1317, 1969, 3024).
fn is_transient_mysql(number: u16) -> bool {
    [1205, 1213, 1040, 1021, 1114, 1053, 1927, 1290, 1836, 1317, 1969, 3024].contains(&number)
}

/// The violated constraint by the migration's name, from what each database says about it.
fn constraint(error: &DbErr, message: &str) -> String {
    if let Some(sqlx::Error::Database(error)) = driver_error(error)
        && let Some(name) = error.constraint()
    {
        return name.to_owned();
    }
    // SQLite names the columns: "UNIQUE constraint failed: users.username".
    if let Some((_, columns)) = message.split_once("constraint failed: ") {
        return constraint_of_columns(columns);
    }
    // MySQL: "Duplicate entry 'ann' for key 'uq_users_username'", perhaps with the table before it.
    let name = message.rsplit_once("for key '").map_or(message, |(_, name)| name);
    let name = name.trim_end_matches('\'');
    name.rsplit_once('.').map_or(name, |(_, name)| name).to_owned()
}

/// `users.username` is what `uq_users_username` guards.
pub(super) fn constraint_of_columns(columns: &str) -> String {
    let mut name = String::from("uq");
    for (place, column) in columns.split(", ").enumerate() {
        let (table, column) = column.split_once('.').unwrap_or(("", column));
        if place == 0 {
            name.push('_');
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_of_sqlite_has_the_name_the_migration_gave_it() {
        let table = [
            ("users.username", "uq_users_username"),
            ("messages.client_key, messages.sender", "uq_messages_client_key_sender"),
        ];
        for (columns, name) in table {
            assert_eq!(constraint_of_columns(columns), name);
        }
    }

    #[test]
    fn faults_that_pass_are_told_from_those_that_stay() {
        assert!(is_transient_sqlite(5) && is_transient_sqlite(13) && is_transient_sqlite(778));
        assert!(!is_transient_sqlite(19) && !is_transient_sqlite(1));
        assert!(is_transient_postgres("40001") && is_transient_postgres("57P01"));
        assert!(!is_transient_postgres("23505") && !is_transient_postgres("22021"));
        assert!(is_transient_mysql(1213) && !is_transient_mysql(1062));
    }
}
