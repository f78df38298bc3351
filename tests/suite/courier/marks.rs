//! `seen`, `delivered`, and asking for them.

use serde_json::{Value, json};

use super::{
    hears, is_timestamp, keys, open_group, open_personal, post_office, say, setting, with,
};

fn seen(ids: &Value) -> Value {
    json!({"message_id": ids, "type": "seen"})
}

/// Conformance check 7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seen_marks_once_what_was_addressed_and_nothing_else() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let (mut a, mut b) = (world.fan_of(&ann).await, world.client_of(&bob).await);
    let mut c = world.client_of(&cy).await;
    a.json().await;
    let id = open_personal(&mut a, &bob).await;
    let message = say(&mut a, "personal", id, "hi").await;
    hears(&mut b, "hi").await;
    b.reads_nothing().await;
    let delivered = a.json().await;
    assert_eq!(delivered["type"], "delivered");

    // Of a stranger, and one's own.
    c.send_json(&seen(&json!([message]))).await;
    a.send_json(&seen(&json!([message]))).await;
    c.reads_nothing().await;
    a.reads_nothing().await;
    for ids in [json!([message, 77, 1_i64 << 60]), json!(message), json!(message.to_string())] {
        b.send_json(&seen(&ids)).await;
    }
    b.reads_nothing().await;
    let told = a.json().await;
    assert_eq!(keys(&told), ["type", "conv_id", "message_id", "user_id", "sender", "timestamp"]);
    assert_eq!((&told["type"], &told["message_id"]), (&json!("seen"), &json!([message])));
    assert_eq!((&told["user_id"], &told["sender"]), (&json!(bob.id), &json!("bob Lee")));
    assert!(is_timestamp(&told["timestamp"]));
    a.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_name_what_one_frame_newly_marked_for_each_author() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let (mut a, mut b) = (world.fan_of(&ann).await, world.fan_of(&bob).await);
    a.json().await;
    b.json().await;
    let id = open_group(&mut a, &[&ann, &bob, &cy]).await;
    let other = open_personal(&mut a, &cy).await;
    let mut own = Vec::new();
    for words in ["one", "two"] {
        own.push(say(&mut a, "group", id, words).await);
        hears(&mut b, words).await;
        b.reads_nothing().await;
        assert_eq!(a.json().await["type"], "delivered");
    }
    let bobs = say(&mut b, "group", id, "three").await;
    hears(&mut a, "three").await;
    a.reads_nothing().await;
    assert_eq!(b.json().await["type"], "delivered");
    let personal = say(&mut a, "personal", other, "four").await;

    // Cy reads nothing but says so: one frame for each conversation and author.
    let mut c = world.client_of(&cy).await;
    let all = json!([own[0], own[1], bobs, personal]);
    c.send_json(&seen(&all)).await;
    let (first, second) = (a.json().await, a.json().await);
    for (told, conversation, ids) in [(&first, id, json!(own)), (&second, other, json!([personal]))]
    {
        // The delivery may have been told by then, if the pong was faster.
        assert_eq!(told["conv_id"], json!(conversation));
        assert_eq!(told["message_id"], ids, "{told}");
    }
    let told = b.json().await;
    assert_eq!(told["message_id"], json!([bobs]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sent_to_seen_is_one_step() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.fan_of(&ann).await;
    a.json().await;
    let id = open_personal(&mut a, &bob).await;
    let message = say(&mut a, "personal", id, "hi").await;
    let status = |status: &str, delivered: u32, seen: u32| {
        let one = json!({
            "message_id": message, "status": status, "members": 1, "delivered": delivered,
            "seen": seen,
        });
        json!({"type": "status", "statuses": [one]})
    };
    let ask = json!({"type": "status", "message_id": [message, 77]});
    a.send_json(&ask).await;
    a.reads(status("sent", 0, 0)).await;
    // The ping behind the message is not answered before `seen` is sent.
    let mut b = world.client_of(&bob).await;
    b.send_json(&seen(&json!([message]))).await;
    assert_eq!(a.json().await["type"], "seen");
    hears(&mut b, "hi").await;
    b.reads_nothing().await;
    a.reads_nothing().await;
    a.send_json(&ask).await;
    a.reads(status("seen", 1, 1)).await;
    // Others' messages are left out.
    let mut b = world.fan_of(&bob).await;
    b.json().await;
    b.send_json(&ask).await;
    b.reads(json!({"type": "status", "statuses": []})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_receipts_is_a_setting() {
    for (receipts, extras, told) in
        [("always", "", true), ("never", "?extras=1", false), ("opt_in", "", false)]
    {
        let world = with(|settings| settings.courier.receipts = setting(json!(receipts))).await;
        let (ann, bob) = (world.person("ann").await, world.person("bob").await);
        let mut a = world.client_with(&ann, extras).await;
        if !extras.is_empty() {
            a.json().await;
        }
        let id = open_personal(&mut a, &bob).await;
        let message = say(&mut a, "personal", id, "hi").await;
        let mut b = world.client_of(&bob).await;
        b.send_json(&seen(&json!([message]))).await;
        b.reads_nothing_but_messages().await;
        if told {
            assert_eq!(a.json().await["type"], "seen");
        }
        a.reads_nothing().await;
    }
}

impl crate::support::raw::Raw {
    async fn reads_nothing_but_messages(&mut self) {
        for heard in self.drain().await {
            let crate::support::raw::Heard::Text(text) = heard else { panic!("{heard:?}") };
            let frame: Value = serde_json::from_str(&text).unwrap();
            assert!(frame["msg"].is_string(), "{frame}");
        }
    }
}
