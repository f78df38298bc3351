//! Introducing the parties of a call (NEO 4.6, RULINGS 8, 9, 71, 72).

use serde_json::{Value, json};

use super::Home;
use crate::support::world::{Heard, World};

fn both(sender: i64, content: &Value) -> Vec<Heard> {
    let signal = json!({ "sender_id": sender, "is_device": false, "content": content });
    let told = |channel: &str| (channel.to_owned(), signal.clone());
    vec![told("webrtc_config"), told("webrtc_forward")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_all_connections_of_its_target_untouched() {
    let mut home = Home::open().await;
    let mut phone = home.world.peer(&home.bob.token).await;
    let id = home.ann.id;
    for content in [
        json!({ "user_id": home.bob.id, "message": "CALLING" }),
        json!({ "user_id": home.bob.id.to_string(), "b": [1, 2.5, null, "é"], "a": { "z": 1 } }),
        // E-mail first, whatever else is there.
        json!({ "user_id": 999, "device_id": 7, "email": home.bob.email, "ice": {} }),
    ] {
        let told = home.ann.peer.succeed("webrtc_forward", content.clone()).await;
        assert_eq!(told, "Message forwarded");
        for peer in [&mut home.bob.peer, &mut phone] {
            let heard = peer.heard().await;
            assert_eq!(heard, both(id, &content));
            assert_eq!(heard[0].1["content"].to_string(), content.to_string(), "key by key");
        }
        home.ann.peer.quiet().await;
    }
    // To oneself: all other connections; none is like not connected.
    let content = json!({ "email": home.bob.email, "message": "PING" });
    phone.succeed("webrtc_forward", content.clone()).await;
    assert_eq!(home.bob.peer.heard().await, both(home.bob.id, &content));
    phone.quiet().await;
    home.ann.peer.fail("webrtc_forward", json!({ "user_id": home.ann.id })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_reached_looks_like_who_is_not_there() {
    let mut home = Home::open().await;
    let mut stranger = home.world.person("sam").await;
    let mut said = Vec::new();
    for target in [
        json!({ "user_id": stranger.id }),
        json!({ "email": stranger.email }),
        json!({ "email": "nobody@example.org" }),
        json!({ "user_id": 987_654 }),
        json!({ "device_id": 987_654 }),
    ] {
        said.push(home.ann.peer.fail("webrtc_forward", target).await);
    }
    home.bob.peer.say(r#"42["disconnect"]"#);
    home.bob.peer.ended().await;
    said.push(home.ann.peer.fail("webrtc_forward", json!({ "user_id": home.bob.id })).await);
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    stranger.peer.quiet().await;
    for wrong in [json!({}), json!({ "message": "x" }), json!({ "user_id": [] })] {
        home.ann.peer.fail("webrtc_forward", wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_above_64_kib_is_an_error() {
    let mut home = Home::open().await;
    let sized = |len: usize| {
        let mut content = json!({ "user_id": home.bob.id, "message": "" });
        let missing = len - content.to_string().len();
        content["message"] = "x".repeat(missing).into();
        content
    };
    let (fits, too_large) = (sized(65_536), sized(65_537));
    home.ann.peer.succeed("webrtc_forward", fits.clone()).await;
    assert_eq!(home.bob.peer.heard().await, both(home.ann.id, &fits));
    home.ann.peer.fail("webrtc_forward", too_large).await;
    home.bob.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_passwords_come_from_the_settings() {
    let world = World::with(|settings| {
        settings.webrtc = serde_json::from_value(json!({
            "forward_channels": ["webrtc_forward"],
            "stun": [{ "domain": "webrtc.neo.ovh", "ip": "", "port": 3478 }],
            "turn": [{ "domain": "", "ip": "192.0.2.1", "port": 3479 }],
        }))
        .unwrap();
    })
    .await;
    let mut home = Home::in_world(world).await;
    let ann = &mut home.ann.peer;
    ann.emit("webrtc_stun_info", json!({ "superfluous": true }));
    let stun = json!([{ "domain": "webrtc.neo.ovh", "ip": "", "port": 3478 }]);
    assert_eq!(ann.expect("webrtc_config").await, stun);
    ann.emit("webrtc_turn_info", json!("superfluous"));
    let turn = json!([{ "domain": "", "ip": "192.0.2.1", "port": 3479 }]);
    assert_eq!(ann.expect("webrtc_config").await, turn);
    ann.emit("webrtc_credentials", json!([]));
    let config = ann.expect("webrtc_config").await;
    let (expiry, who) = config["username"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(who, format!("u{}", home.ann.id));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now + 86_000..now + 86_500).contains(&expiry.parse().unwrap()), "{expiry}");
    let password = data_encoding::BASE64.decode(config["password"].as_str().unwrap().as_bytes());
    assert_eq!(password.unwrap().len(), 20);
    // The operator has switched a channel off.
    let content = json!({ "user_id": home.bob.id });
    ann.succeed("webrtc_forward", content.clone()).await;
    assert_eq!(home.bob.peer.heard().await, both(home.ann.id, &content)[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rooms_of_calls_are_accepted_in_silence() {
    let mut home = Home::open().await;
    for event in ["webrtc_join_room", "webrtc_leave_room", "webrtc_room_forward"] {
        home.ann.peer.emit(event, json!({ "room": "x" }));
        home.ann.peer.say(format!("42[\"{event}\"]"));
    }
    home.ann.peer.emit("unheard_of", json!({}));
    home.ann.peer.quiet().await;
    home.bob.peer.quiet().await;
}
