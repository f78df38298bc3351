//! Changes that others hear of: stored in one transaction, told in the order of commits.
//!
//! The turn is kept until the news is handed over, so nobody commits in between; the waiting
//! for its publication happens without the turn.

use tokio::time::timeout_at;

use super::{Store, StoreError, Tx};
use crate::hub::News;

/// What a transaction did, and what there is to tell of it.
#[derive(Debug)]
pub struct Changed<T> {
    /// For whoever asked for it.
    pub value: T,
    /// For those who listen.
    pub news: News,
}

impl<T> Changed<T> {
    /// Something that nobody else hears of.
    pub fn quietly(value: T) -> Self {
        Self { value, news: News::none() }
    }
}

impl Store {
    /// Runs one transaction and publishes what it has to tell; answers when everybody has been told.
    pub(crate) async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&Tx) -> Result<Changed<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let (value, published) = {
            let deadline = self.deadline();
            let mut turn =
                timeout_at(deadline, self.turn()).await.map_err(|_| StoreError::TooSlow)?;
            let Changed { value, news } = turn.write_until(deadline, work).await?;
            (value, self.publishers().hand_over(news))
        };
        published.wait().await;
        Ok(value)
    }
}
