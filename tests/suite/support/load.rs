//! People who keep writing whatever happens to the server, and remember what they were told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::site::{Frame, Gone, Site, Wire};

/// How long any state may be waited for.
const DEADLINE: Duration = Duration::from_mins(1);

/// Somebody who writes numbered messages, each under a reference of its own.
pub(crate) struct Writer {
    name: String,
    token: String,
    room: i64,
    /// Messages under way at once.
    window: usize,
    written: u32,
    /// Not acknowledged yet, in their order.
    open: Vec<String>,
    /// Acknowledged, with the number each was given.
    acknowledged: BTreeMap<String, i64>,
    tally: Arc<Tally>,
    /// The longest it waited for an answer.
    slowest: Duration,
}

/// What has happened to a writer so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: AtomicUsize,
    /// How often it was told `unavailable`.
    pub(crate) refused: AtomicUsize,
    /// How often its connection ended.
    pub(crate) cut: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// What was counted.
pub(crate) fn seen(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

impl Writer {
    pub(crate) async fn new(site: &Site, name: &str, room: i64, window: usize) -> Self {
        Self {
            name: name.to_owned(),
            token: site.person(name).await,
            room,
            window,
            written: 0,
            open: Vec::new(),
            acknowledged: BTreeMap::new(),
            tally: Arc::default(),
            slowest: Duration::ZERO,
        }
    }

    /// Writes until the connection ends, or there is nothing left to say after the stop; what
    /// was not acknowledged before is sent again first.
    pub(crate) async fn write(&mut self, url: &str, stop: &CancellationToken) -> Result<(), Gone> {
        let mut wire = Wire::open(url, &self.token).await?;
        let mut flying: HashMap<u64, (String, Instant)> = HashMap::new();
        let mut again = self.open.clone().into_iter();
        loop {
            while flying.len() < self.window {
                let Some(text) = again.next().or_else(|| self.invent(stop)) else { break };
                let message = json!({
                    "conversation_id": self.room, "text_message": text, "client_ref": text,
                });
                let number = wire.put("message", &message).await?;
                flying.insert(number, (text, Instant::now()));
            }
            if flying.is_empty() {
                return Ok(());
            }
            let Frame::Ack(number, answer) = wire.next().await? else { continue };
            let (text, since) = flying.remove(&number).expect("only what was asked is answered");
            self.slowest = self.slowest.max(since.elapsed());
            if answer["success"] == true {
                self.open.retain(|open| *open != text);
                self.acknowledged.insert(text, answer["message_id"].as_i64().unwrap());
                add(&self.tally.acknowledged);
            } else if answer["code"] == "unknown" {
                // Nothing more is said: the same reference finds out over another connection.
                while wire.next().await.is_ok() {}
                return Err(Gone);
            } else {
                assert_eq!(answer["code"], "unavailable", "{answer}");
                add(&self.tally.refused);
                // What was sent behind it may be stored before it is sent again.
                assert_eq!(self.window, 1, "who is refused must not have sent more meanwhile");
                again = self.open.clone().into_iter();
            }
        }
    }

    fn invent(&mut self, stop: &CancellationToken) -> Option<String> {
        if stop.is_cancelled() {
            return None;
        }
        self.written += 1;
        let text = format!("{}-{:06}", self.name, self.written);
        self.open.push(text.clone());
        Some(text)
    }

    /// Comes back whenever the connection ends, until everything is said after the stop.
    async fn persist(mut self, url: String, stop: CancellationToken) -> Self {
        while self.write(&url, &stop).await.is_err() {
            add(&self.tally.cut);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self
    }

    /// What happens to it, as it goes on.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// What it has been told.
    pub(crate) const fn acknowledged(&self) -> &BTreeMap<String, i64> {
        &self.acknowledged
    }
}

/// Waits until each of these writers has been told of so many more stored messages.
pub(crate) async fn until_stored(tallies: &[Arc<Tally>], more: usize) {
    let before: Vec<_> = tallies.iter().map(|tally| seen(&tally.acknowledged)).collect();
    let begun = Instant::now();
    while tallies.iter().zip(&before).any(|(t, b)| seen(&t.acknowledged) < b + more) {
        assert!(begun.elapsed() < DEADLINE, "messages are stored");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Several writers at work.
pub(crate) struct Load {
    writers: JoinSet<Writer>,
    pub(crate) tallies: Vec<Arc<Tally>>,
    stop: CancellationToken,
}

impl Load {
    pub(crate) fn start(writers: Vec<Writer>, url: &str) -> Self {
        let stop = CancellationToken::new();
        let tallies = writers.iter().map(|writer| Arc::clone(&writer.tally)).collect();
        let writers =
            writers.into_iter().map(|writer| writer.persist(url.to_owned(), stop.clone()));
        Self { writers: writers.collect(), tallies, stop }
    }

    /// Waits until something holds of every writer.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Tally) -> bool) {
        let begun = Instant::now();
        while !self.tallies.iter().all(|tally| holds(tally)) {
            assert!(begun.elapsed() < DEADLINE, "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every writer has been told of so many more stored messages.
    pub(crate) async fn until_stored(&self, more: usize) {
        until_stored(&self.tallies, more).await;
    }

    /// How often anybody was refused, and was cut off.
    pub(crate) fn faults(&self) -> (usize, usize) {
        let sum = |count: fn(&Tally) -> &AtomicUsize| {
            self.tallies.iter().map(|tally| seen(count(tally))).sum()
        };
        (sum(|tally| &tally.refused), sum(|tally| &tally.cut))
    }

    /// Lets everybody say what is left to say; the longest anybody waited for an answer.
    pub(crate) async fn finish(mut self) -> (Vec<Writer>, Duration) {
        self.stop.cancel();
        let mut writers = Vec::new();
        while let Some(writer) = tokio::time::timeout(DEADLINE, self.writers.join_next())
            .await
            .expect("everything is said")
        {
            writers.push(writer.unwrap());
        }
        let slowest = writers.iter().map(|writer| writer.slowest).max().unwrap_or_default();
        (writers, slowest)
    }
}

/// A room as a reader sees it who asks for everything.
pub(crate) struct Reader {
    token: String,
    room: i64,
    revision: i64,
    /// The numbers of all messages, by their text.
    ids: BTreeMap<String, i64>,
    /// The texts in their order.
    texts: Vec<String>,
}

impl Reader {
    pub(crate) async fn new(site: &Site, name: &str, room: i64) -> Self {
        let token = site.person(name).await;
        Self { token, room, revision: 0, ids: BTreeMap::new(), texts: Vec::new() }
    }

    /// Reads what is new; nothing is missing and nothing is there twice.
    pub(crate) async fn catch_up(&mut self, url: &str) {
        let mut wire = Wire::open(url, &self.token).await.expect("the server answers");
        loop {
            let wanted =
                json!({ "conversation_id": self.room, "since": self.revision, "limit": 200 });
            let page = wire.ask("sync", &wanted).await.expect("the server answers");
            assert_eq!(page["success"], true, "{page}");
            for message in page["messages"].as_array().unwrap() {
                let text = message["content"].as_str().unwrap().to_owned();
                let seq = usize::try_from(message["seq"].as_u64().unwrap()).unwrap();
                assert_eq!(seq, self.texts.len() + 1, "a gap, or a place given twice: {text}");
                let twice = self.ids.insert(text.clone(), message["id"].as_i64().unwrap());
                assert_eq!(twice, None, "{text} is there twice");
                self.texts.push(text);
            }
            self.revision = page["revision"].as_i64().unwrap();
            if page["more"] == false {
                return;
            }
        }
    }

    /// Everything a writer was told of is there under that number, and what it wrote is in
    /// the order in which it wrote it.
    pub(crate) fn check(&self, writer: &Writer) {
        for (text, id) in &writer.acknowledged {
            assert_eq!(self.ids.get(text), Some(id), "{text} was acknowledged");
        }
        let own: Vec<_> = self
            .texts
            .iter()
            .filter(|text| text.starts_with(&format!("{}-", writer.name)))
            .collect();
        assert!(own.is_sorted(), "{own:?}");
    }

    /// Nothing is there but what these writers were told of.
    pub(crate) fn check_all(&self, writers: &[Writer]) {
        for writer in writers {
            assert!(writer.open.is_empty(), "everything was acknowledged in the end");
            self.check(writer);
        }
        let told: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
        assert_eq!(self.texts.len(), told);
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> usize {
        self.texts.len()
    }

    /// The place of a text.
    pub(crate) fn place(&self, text: &str) -> Option<usize> {
        self.texts.iter().position(|other| other == text).map(|index| index + 1)
    }

    /// A connection that hears the room.
    pub(crate) async fn listen(&self, url: &str) -> Wire {
        let mut wire = Wire::open(url, &self.token).await.expect("the server answers");
        let wanted = json!({ "conversation_id": self.room });
        let answer = wire.ask("join_conversation", &wanted).await.expect("the server answers");
        assert_eq!(answer["success"], true, "{answer}");
        wire
    }
}
