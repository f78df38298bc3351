//! Messages that cost coins: charge, message and ledger in one transaction.
//!
//! It happens under the write turn, and the event is handed over while the turn is held, so
//! that numbers and news keep one order with what the batches store. The work has a task of
//! its own: who stops waiting for it does not stop it between the commit and the telling.

use entity::{ledger, smiles, users};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use tokio::time::{Instant, sleep, timeout_at};

use super::batch::{NewRow, NotPlaced, Placed};
use super::portable::{find_known, insert};
use super::queue::{Stored, Telling, posted, tell};
use crate::domain::{Charge, Dialect, Principal, Refusal, RefusalKind, Timestamp};
use crate::policy::{Payer, price_for, too_poor};
use crate::store::transaction::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::store::{Store, StoreError, Tx};
use crate::telemetry;

/// What messages cost, and in which dialects.
#[derive(Clone, Debug, Default)]
pub struct Tariff {
    /// Coins for everything that has no price of its own.
    pub default_price: i64,
    /// The dialects whose messages are charged.
    pub billed: Vec<Dialect>,
}

impl Tariff {
    /// Whether messages of a dialect are charged.
    pub(super) fn bills(&self, dialect: Dialect) -> bool {
        self.billed.contains(&dialect)
    }
}

/// What became of a sale in its transaction.
#[derive(Debug)]
enum Sale {
    /// It is stored, and paid for if it cost something.
    Sold(Placed, Option<Charge>),
    /// It had been stored before, and paid for then.
    Known(Placed),
    /// It may not be stored.
    Refused(Refusal),
}

/// Stores a message and takes what it costs, or does neither; then tells of it.
pub(super) async fn sell(
    store: Store,
    row: NewRow,
    telling: Telling,
    default_price: i64,
) -> Result<(Stored, Option<Charge>), StoreError> {
    if !row.is_sound() {
        return Err(NotPlaced::Refused.into());
    }
    let mut turn = timeout_at(row.deadline, store.turn()).await.map_err(|_| StoreError::TooSlow)?;
    let mut pause = FIRST_PAUSE;
    // What an attempt did whose commit was not confirmed.
    let mut lost: Option<(Placed, Option<Charge>)> = None;
    let mut doubtful = Vec::new();
    let sold = loop {
        let mut attempted = None;
        let commit = match turn.next_commit(row.deadline, store.clock().now()).await {
            Ok(commit) => commit,
            // Before it was tried again nobody knows what became of the first attempt.
            Err(error) if lost.is_none() => return Err(error),
            Err(_) => break Err(StoreError::OutcomeUnknown(None)),
        };
        let outcome = turn
            .write_until(row.deadline, async |tx| {
                let sale = sell_in(tx, &row, default_price, store.clock().now()).await?;
                if let Sale::Sold(placed, charge) = &sale {
                    attempted = Some((placed.clone(), *charge));
                    commit.note(tx).await?;
                }
                Ok(sale)
            })
            .await;
        match outcome {
            Ok(Sale::Sold(placed, charge)) => break Ok((placed, charge)),
            Ok(Sale::Known(placed)) => match lost {
                // It was ours after all, and nobody has been told.
                Some((ours, charge)) if ours.id == placed.id => {
                    doubtful.clear();
                    break Ok((ours, charge));
                }
                _ => break Ok((placed, None)),
            },
            Ok(Sale::Refused(refusal)) => break Err(StoreError::Refused(refusal)),
            Err(StoreError::OutcomeUnknown(_)) => {
                turn.renew_witness();
                doubtful.extend(attempted.iter().map(|(placed, _)| (commit, placed.clone())));
                lost = attempted.or(lost);
            }
            Err(error) if error.is_transient() || error.is_duplicate_of(super::writer::KEYS) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "sale is repeated");
            }
            Err(error) => break Err(error),
        }
        if Instant::now() + pause >= row.deadline {
            let unknown = lost.is_some();
            break Err(if unknown {
                StoreError::OutcomeUnknown(None)
            } else {
                StoreError::TooSlow
            });
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    };
    for (commit, placed) in doubtful {
        store.doubt(commit, posted(&row, &placed, telling.clone()));
    }
    let (placed, charge) = sold?;
    if !placed.duplicate {
        telemetry::count_message(telling.dialect.as_str());
    }
    // Handed over while the turn is held: nobody commits in between.
    let mut way = store.settle(&mut turn).await;
    let stored = tell(&store, &mut way, &row, Ok(placed), telling).await?;
    drop(turn);
    Ok((stored, charge))
}

async fn sell_in(
    tx: &Tx,
    row: &NewRow,
    default_price: i64,
    now: Timestamp,
) -> Result<Sale, StoreError> {
    let known = find_known(tx, &[row]).await?.remove(&(row.client_key, row.sender));
    if let Some(placed) = known {
        return Ok(Sale::Known(placed));
    }
    let asked = match row.smile {
        None => Some(default_price),
        Some(smile) => price_of_smile(tx, smile).await?,
    };
    let Some(price) = asked else {
        let text = format!("There is no smile with id {}.", row.smile.unwrap_or_default());
        return Ok(Sale::Refused(Refusal::new(RefusalKind::NotFound, text)));
    };
    let charge = match pay(tx, row.sender, price, now).await {
        Err(StoreError::Refused(refusal)) => return Ok(Sale::Refused(refusal)),
        paid => paid?,
    };
    let placed = match insert(tx, &[row], false).await?.pop() {
        Some(outcome) => outcome?,
        None => return Err(NotPlaced::Refused.into()),
    };
    if let Some(charge) = charge {
        book(tx, row.sender, placed.id, charge, now).await?;
    }
    Ok(Sale::Sold(placed, charge))
}

/// Takes what something with this price costs the one who sends it; refuses if there are not
/// enough coins. The caller stores a message in the same transaction, and books it.
pub(crate) async fn pay(
    tx: &Tx,
    sender: i64,
    price: i64,
    now: Timestamp,
) -> Result<Option<Charge>, StoreError> {
    let price = price_for(payer(tx, sender).await?, price, now);
    if price <= 0 {
        return Ok(None);
    }
    match take(tx, sender, price).await? {
        Ok(balance) => Ok(Some(Charge { price, balance })),
        Err(balance) => Err(StoreError::Refused(too_poor(price, balance))),
    }
}

/// What a smile costs now; none if there is no such smile (any more).
async fn price_of_smile(tx: &Tx, smile: i64) -> Result<Option<i64>, StoreError> {
    let found = smiles::Entity::find_by_id(smile)
        .filter(smiles::Column::RetiredAt.is_null())
        .one(tx)
        .await?;
    Ok(found.map(|smile| smile.price))
}

async fn payer(tx: &Tx, sender: i64) -> Result<Payer, StoreError> {
    let Principal::User(id) = Principal::from_db(sender, "messages")? else {
        return Ok(Payer::Device);
    };
    let found = users::Entity::find_by_id(id.get()).lock_exclusive().one(tx).await?;
    let user = found.ok_or_else(|| StoreError::Impossible {
        table: "users",
        what: format!("user {id} writes and is not there"),
    })?;
    Ok(Payer::User {
        superuser: user.is_superuser,
        employee: user.is_employee,
        premium_until: user.premium_until.map(Timestamp::from_micros),
    })
}

/// Takes coins, if there are enough: what is left then, or what there is.
async fn take(tx: &Tx, user: i64, price: i64) -> Result<Result<i64, i64>, StoreError> {
    let taken = users::Entity::update_many()
        .col_expr(users::Column::Balance, Expr::col(users::Column::Balance).sub(price))
        .filter(users::Column::Id.eq(user))
        .filter(users::Column::Balance.gte(price))
        .exec(tx)
        .await?;
    let left = users::Entity::find_by_id(user).one(tx).await?.map_or(0, |row| row.balance);
    Ok(if taken.rows_affected == 0 { Err(left) } else { Ok(left) })
}

/// Writes down what a message has cost.
pub(crate) async fn book(
    tx: &Tx,
    sender: i64,
    message: i64,
    charge: Charge,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = ledger::ActiveModel {
        user_id: Set(sender),
        message_id: Set(Some(message)),
        amount: Set(-charge.price),
        balance_after: Set(charge.balance),
        note: Set("message".to_owned()),
        created_at: Set(now.micros()),
        ..Default::default()
    };
    ledger::Entity::insert(entry).exec_without_returning(tx).await?;
    Ok(())
}
