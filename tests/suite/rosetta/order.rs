//! One order for everybody, while all dialects speak at once.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::task::JoinSet;

use super::voice::Voice;
use super::{GROUP, PAIR, Stage};

/// Connections of each dialect, half of them Ann's and half Bob's.
const CLIENTS: usize = 4;
/// Messages of each connection.
const MESSAGES: usize = 200;

/// What one connection was told of, in the order heard.
struct Heard {
    dialect: &'static str,
    /// Messages that it read.
    read: Vec<i64>,
    /// Its own, where the dialect acknowledges and does not echo.
    acknowledged: BTreeSet<i64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_the_same_order_while_all_speak_at_once() {
    let stage = Stage::set().await;
    for (dialects, is_pair) in [(&PAIR[..], true), (&GROUP[..], false)] {
        let mut voices = Vec::new();
        for _ in 0..CLIENTS / 2 {
            voices.extend(stage.voices(dialects, &stage.ann, is_pair).await);
            voices.extend(stage.voices(dialects, &stage.bob, is_pair).await);
        }
        let all = voices.len() * MESSAGES;
        let mut listening = JoinSet::new();
        for (number, mut voice) in voices.into_iter().enumerate() {
            listening.spawn(async move {
                for said in 0..MESSAGES {
                    voice.say(&format!("order {number} {said}")).await;
                }
                listen(&mut voice, all).await
            });
        }
        let heard = listening.join_all().await;
        let order = &heard.iter().find(|heard| heard.dialect == "neo").unwrap().read;
        let everything: BTreeSet<_> = order.iter().copied().collect();
        assert_eq!((order.len(), everything.len()), (all, all), "none missing, none twice");
        for Heard { dialect, read, acknowledged } in &heard {
            let expected: Vec<_> =
                order.iter().filter(|id| !acknowledged.contains(id)).copied().collect();
            assert_eq!(read, &expected, "{dialect} heard another order");
        }
    }
}

/// Listens until so many messages were read or acknowledged.
async fn listen(voice: &mut Voice, count: usize) -> Heard {
    let mut heard = Heard {
        dialect: voice.dialect,
        read: Vec::with_capacity(count),
        acknowledged: BTreeSet::new(),
    };
    while heard.read.len() + heard.acknowledged.len() < count {
        let frame = voice.next().await;
        if let Some(id) = message(&frame) {
            heard.read.push(id);
        } else if voice.dialect == "courier" && frame.get("type").is_none() {
            heard.acknowledged.extend(frame["message_id"].as_i64());
        }
    }
    heard
}

/// The message that a frame shows, whatever the dialect.
fn message(frame: &Value) -> Option<i64> {
    let places = [
        ("/1/message/content", "/1/message/id"),
        ("/message", "/message_id"),
        ("/message", "/id"),
        ("/text", "/id"),
        ("/msg", "/message_id"),
    ];
    places.iter().find_map(|(words, id)| {
        let words = frame.pointer(words)?.as_str()?;
        frame.pointer(id)?.as_i64().filter(|_| words.starts_with("order "))
    })
}
