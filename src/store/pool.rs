//! Pools whose connections can be thrown away together.
//!
//! The driver takes a connection back from whoever gave up a statement, and waits for its answer without a limit; of a
//! host that went away without a word it keeps all of them for ever. So whoever gives up a statement discards the
//! pool as it is, before the statement is dropped: what is in use is closed instead of being taken back, what is idle
//! is closed, and the next statement opens a connection of its own to wherever the address leads now.

use parking_lot::RwLock;
use sea_orm::{DatabaseConnection, DbBackend};

use super::StoreError;
use super::connect::{Connector, Probe, Purpose};

/// The present connections of one purpose.
pub(super) struct Pool {
    connector: Connector,
    purpose: Purpose,
    probe: Probe,
    current: RwLock<DatabaseConnection>,
}

impl Pool {
    /// Connects, so that a wrong address is found out at once.
    pub(super) async fn open(connector: Connector, purpose: Purpose) -> Result<Self, StoreError> {
        let probe = connector.probe();
        let current = RwLock::new(connector.open(purpose, &probe).await?);
        Ok(Self { connector, purpose, probe, current })
    }

    /// Which of the three databases it is.
    pub(super) fn backend(&self) -> DbBackend {
        self.connector.backend()
    }

    /// The connections as they are.
    pub(super) fn current(&self) -> DatabaseConnection {
        self.current.read().clone()
    }

    /// The connections, or others in place of discarded ones.
    pub(super) async fn usable(&self) -> Result<DatabaseConnection, StoreError> {
        let current = self.current();
        if self.probe.has_failed() {
            discard(&current);
        }
        if !is_discarded(&current) {
            return Ok(current);
        }
        let fresh = if self.backend() == DbBackend::Sqlite {
            // Closing waits for a statement that still runs, and rolls back what it belongs to.
            current.close_by_ref().await?;
            self.connector.open(self.purpose, &self.probe).await?
        } else {
            self.connector.prepare(self.purpose, &self.probe).await?
        };
        let mut current = self.current.write();
        if is_discarded(&current) {
            *current = fresh;
        }
        Ok(current.clone())
    }
}

/// Whether these connections are closed, or will be as soon as they are given back.
fn is_discarded(connections: &DatabaseConnection) -> bool {
    match connections.get_database_backend() {
        DbBackend::Postgres => connections.get_postgres_connection_pool().is_closed(),
        DbBackend::MySql => connections.get_mysql_connection_pool().is_closed(),
        _ => connections.get_sqlite_connection_pool().is_closed(),
    }
}

/// Throws these connections away. From the moment this returns none of them is taken back; they are closed in the
/// background.
pub(super) fn discard(connections: &DatabaseConnection) {
    // The driver marks a pool as closed when it is asked to close it, before the wait for its connections.
    match connections.get_database_backend() {
        DbBackend::Postgres => drop(connections.get_postgres_connection_pool().close()),
        DbBackend::MySql => drop(connections.get_mysql_connection_pool().close()),
        _ => drop(connections.get_sqlite_connection_pool().close()),
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let closing = connections.clone();
        runtime.spawn(async move { closing.close_by_ref().await });
    }
}
