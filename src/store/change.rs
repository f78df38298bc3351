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
        let deadline = self.deadline();
        let mut turn = timeout_at(deadline, self.turn()).await.map_err(|_| StoreError::TooSlow)?;
        let commit = turn.next_commit(deadline, self.clock().now()).await?;
        let prepared = turn.prepare(deadline, async |tx| {
            self.require_login(tx).await?;
            let changed = work(tx).await?;
            if !changed.news.is_empty() {
                commit.note(tx).await?;
            }
            Ok(changed)
        });
        let (tx, Changed { value, news }) = prepared.await?;
        // It runs to its end whoever waits for it: nobody stops it between the commit and the telling.
        let ending = tokio::spawn(self.clone().finish(turn, tx, commit, news, deadline));
        let published = ending.await.map_err(|_| StoreError::OutcomeUnknown(None))??;
        published.wait().await;
        self.renew_contacts().await;
        Ok(value)
    }

    /// Tells what nothing was stored for; it keeps no order with history.
    pub(crate) async fn tell(&self, mut news: News) {
        if let Err(error) = self.address(&mut news).await {
            // They find it when they come back.
            tracing::warn!(error = &error as &dyn std::error::Error, "mail was not told");
        }
        self.publishers().hand_over(news).wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::{ConversationId, Event, LoginId, Topic};
    use crate::hub::{Delivery, Listener, Notice};
    use crate::store::Options;

    const ROOM: ConversationId = ConversationId::new(1);

    #[derive(Default)]
    struct Ear(Mutex<Vec<i64>>);

    impl Listener for Ear {
        fn offer(&self, delivery: &Arc<Delivery>) {
            if let Event::LoginEnded { login, .. } = delivery.event() {
                self.0.lock().push(login.get());
            }
        }
    }

    fn news(number: i64) -> News {
        let event = Event::LoginEnded { login: LoginId::new(number), deactivated: false };
        News::none().conversation(ROOM, Notice::new([Topic::Conversation(ROOM)], event))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn news_come_in_the_order_of_commits_and_before_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::at(format!("sqlite:{}", folder.path().join("klatsch.db").display()));
        let store = Store::open(&options, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        store
            .write(async |tx| {
                tx.execute_unprepared("CREATE TABLE turns (id INTEGER PRIMARY KEY, word TEXT)")
                    .await?;
                Ok(())
            })
            .await
            .unwrap();
        let ear = Arc::new(Ear::default());
        let id = store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
        store.hub().subscribe(id, Topic::Conversation(ROOM));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (store, ear) = (store.clone(), Arc::clone(&ear));
            tasks.spawn(async move {
                let number = store
                    .change(async |tx| {
                        let done =
                            tx.execute_unprepared("INSERT INTO turns (word) VALUES ('x')").await?;
                        let number = i64::try_from(done.last_insert_id()).unwrap();
                        Ok(Changed { value: number, news: news(number) })
                    })
                    .await
                    .unwrap();
                assert!(ear.0.lock().contains(&number));
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(*ear.0.lock(), (1..=40).collect::<Vec<_>>());
    }
}
