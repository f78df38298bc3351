//! Notices: what one process changed and the others must know within two seconds.
//!
//! A notice is written in the transaction of its change. Readers take the last ten seconds by time, each time anew,
//! and act once on each row: ids are not in the order of commits everywhere.

use entity::notices;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Store, StoreError, Tx};
use crate::domain::Timestamp;

/// How far back readers look, in seconds.
const WINDOW: i64 = 10;
/// How long notices are kept, in seconds.
const KEPT: i64 = 3_600;

/// What a process tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Names it, so that it is acted upon once.
    pub id: i64,
    /// Whether this process wrote it itself.
    pub own: bool,
    /// What happened, in at most 32 characters.
    pub kind: String,
    /// To whom or what.
    pub subject: i64,
    /// More about it, in a form of its kind.
    pub extra: Option<String>,
}

impl Store {
    /// Tells the other processes, once the transaction is committed.
    pub(crate) async fn notify(
        &self,
        tx: &Tx,
        kind: &str,
        subject: i64,
        extra: Option<String>,
    ) -> Result<(), StoreError> {
        let row = notices::ActiveModel {
            node: Set(self.node().to_vec()),
            kind: Set(kind.to_owned()),
            subject: Set(subject),
            extra: Set(extra),
            created_at: Set(self.clock().now().micros()),
            ..Default::default()
        };
        notices::Entity::insert(row).exec_without_returning(tx).await?;
        Ok(())
    }

    /// The notices of the last ten seconds, oldest first.
    pub async fn list_notices(&self) -> Result<Vec<Notice>, StoreError> {
        self.list_notices_since(self.clock().now()).await
    }

    /// The same of the ten seconds before this moment, and of what came after it.
    pub(super) async fn list_notices_since(
        &self,
        moment: Timestamp,
    ) -> Result<Vec<Notice>, StoreError> {
        let since = moment.plus_secs(-WINDOW).micros();
        let rows = notices::Entity::find()
            .filter(notices::Column::CreatedAt.gte(since))
            .order_by_asc(notices::Column::Id)
            .all(self.reads())
            .await?;
        let own = |node: &[u8]| node == self.node().as_slice();
        Ok(rows
            .into_iter()
            .map(|row| Notice {
                own: own(&row.node),
                id: row.id,
                kind: row.kind,
                subject: row.subject,
                extra: row.extra,
            })
            .collect())
    }

    /// Forgets notices that everybody has read.
    pub async fn forget_notices(&self) -> Result<(), StoreError> {
        let before = self.clock().now().plus_secs(-KEPT).micros();
        self.write(async |tx| {
            notices::Entity::delete_many()
                .filter(notices::Column::CreatedAt.lt(before))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }
}
