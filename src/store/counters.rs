//! The counter of message ids and of places, which is one.
//!
//! It is drawn from under the locks of the conversations concerned, so that in each of them ids grow with `seq`. What
//! one call draws grows, and may have holes where several nodes share a sequence.

use entity::counters;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, Statement};

use super::{StoreError, Tx};

/// The row of the counter, where it is one.
pub(super) const MESSAGES: &str = "message";
/// The sequence of the counter, on PostgreSQL.
pub(super) const SEQUENCE: &str = "message_places";

/// Draws the next `n` numbers, ascending.
pub(crate) async fn draw(tx: &Tx, n: usize) -> Result<Vec<i64>, StoreError> {
    if n == 0 {
        return Ok(Vec::new());
    }
    if tx.get_database_backend() == DbBackend::Postgres {
        return draw_from_sequence(tx, n).await;
    }
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    counters::Entity::update_many()
        .col_expr(counters::Column::Value, Expr::col(counters::Column::Value).add(n))
        .filter(counters::Column::Name.eq(MESSAGES))
        .exec(tx)
        .await?;
    let row = counters::Entity::find_by_id(MESSAGES).one(tx).await?;
    let last = row.map(|row| row.value).ok_or_else(|| StoreError::Impossible {
        table: "counters",
        what: format!("no row `{MESSAGES}`"),
    })?;
    Ok((last - n + 1..=last).collect())
}

/// A sequence takes no lock until the commit, so nodes do not wait for each other.
async fn draw_from_sequence(tx: &Tx, n: usize) -> Result<Vec<i64>, StoreError> {
    let rows = tx
        .query_all_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            format!("SELECT nextval('{SEQUENCE}') FROM generate_series(1, $1)"),
            [i64::try_from(n).unwrap_or(i64::MAX).into()],
        ))
        .await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}
