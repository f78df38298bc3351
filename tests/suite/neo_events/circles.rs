//! What circles are told (NEO 4.1): payload, receivers, and before the answer over HTTP.

use serde_json::json;

use super::Home;
use crate::support::world::Heard;

fn circle(payload: serde_json::Value) -> Vec<Heard> {
    vec![("circle".to_owned(), payload)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_hears_of_its_people_before_the_answer() {
    let mut home = Home::open().await;
    let id = home.circle;
    let mut carl = home.world.person("carl").await;
    home.ann.peer.join_circle(id).await;
    let mut laptop = home.world.peer(&carl.token).await;

    // Invite: to all connections of the one invited, joined or not; to nobody else.
    let wish = json!({ "token": home.ann.token, "circle_id": id, "email": carl.email });
    home.world.ok("/circle/invite", wish.clone()).await;
    let invited = carl.peer.expect("circle_invite").await;
    let invite = invited["circle_invite_id"].clone();
    assert!(invite.is_i64());
    let expected = json!({ "event": "invite", "circle_id": id, "circle_invite_id": invite });
    assert_eq!(invited, expected);
    assert_eq!(laptop.heard().await, [("circle_invite".to_owned(), expected)]);
    home.ann.peer.quiet().await;
    home.bob.peer.quiet().await;

    // Reject: nobody is told.
    let answer = json!({ "token": carl.token, "invite_id": invite });
    home.world.ok("/circle/reject", answer).await;
    home.ann.peer.quiet().await;
    home.world.ok("/circle/invite", wish).await;
    let invite = carl.peer.expect("circle_invite").await["circle_invite_id"].clone();
    laptop.heard().await;

    // Join: the room, that is who joined it.
    let answer = json!({ "token": carl.token, "invite_id": invite });
    home.world.ok("/circle/join", answer).await;
    let joined =
        json!({ "event": "join", "user": carl.email, "user_id": carl.id, "circle_id": id });
    assert_eq!(home.ann.peer.heard().await, circle(joined));
    home.bob.peer.quiet().await;
    carl.peer.quiet().await;

    // Login and logout over HTTP, not connecting.
    let token = home.world.log_in(&carl.email, "secret").await;
    let connected = json!({ "event": "connect", "user": carl.email, "circle_id": id });
    assert_eq!(home.ann.peer.heard().await, circle(connected));
    home.world.ok("/account/logout", json!({ "token": token })).await;
    let disconnected = json!({ "event": "disconnect", "user": carl.email, "circle_id": id });
    assert_eq!(home.ann.peer.heard().await, circle(disconnected));
    let mut fourth = home.world.peer(&carl.token).await;
    fourth.say(r#"42["disconnect"]"#);
    fourth.ended().await;
    home.ann.peer.quiet().await;

    // Update.
    let rename = json!({ "token": home.bob.token, "circle_id": id, "name": "Home" });
    home.world.ok("/circle/update", rename).await;
    let updated = json!({ "event": "update", "circle_id": id });
    assert_eq!(home.ann.peer.heard().await, circle(updated));
    home.bob.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_circle_is_told_and_put_out_on_all_connections() {
    let mut home = Home::open().await;
    let (id, conversation) = (home.circle, home.conversation);
    let mut carl = home.carl().await;
    let mut phone = home.world.peer(&home.bob.token).await;
    for peer in [&mut home.ann.peer, &mut home.bob.peer, &mut carl.peer, &mut phone] {
        peer.join_circle(id).await;
    }
    // Kick: the circle's event first, then that of each conversation (RULINGS 41).
    let kick = json!({ "token": home.ann.token, "circle_id": id, "email": home.bob.email });
    home.world.ok("/circle/kick", kick).await;
    let kicked = json!({
        "event": "kick", "user": home.bob.email, "user_id": home.bob.id,
        "from": home.ann.email, "circle_id": id,
    });
    let out = json!({
        "event": "kick", "user": home.bob.email, "user_id": home.bob.id, "from": home.ann.email,
        "conversation_id": conversation,
    });
    let mut both = circle(kicked.clone());
    both.push(("conversation".to_owned(), out));
    assert_eq!(home.ann.peer.heard().await, both);
    assert_eq!(home.bob.peer.heard().await, both);
    assert_eq!(phone.heard().await, circle(kicked.clone()));
    assert_eq!(carl.peer.heard().await, circle(kicked));
    // Nothing reaches the removed one any more.
    home.ann.peer.succeed("message", home.words("between us")).await;
    home.ann.peer.expect("message").await;
    home.bob.peer.fail("join_circle", json!({ "circle_id": id })).await;
    home.bob.peer.fail("join_conversation", home.here()).await;
    home.bob.peer.fail("message", home.words("hello?")).await;

    // Quit.
    home.world.ok("/circle/quit", json!({ "token": carl.token, "circle_id": id })).await;
    let quit =
        circle(json!({ "event": "quit", "user": carl.email, "user_id": carl.id, "circle_id": id }));
    assert_eq!(home.ann.peer.heard().await, quit);
    assert_eq!(carl.peer.heard().await, quit);
    let rename = json!({ "token": home.ann.token, "circle_id": id, "name": "Alone" });
    home.world.ok("/circle/update", rename).await;
    assert_eq!(home.ann.peer.heard().await.len(), 1);
    for peer in [&mut home.bob.peer, &mut phone, &mut carl.peer] {
        peer.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_hears_of_its_device_and_of_its_end() {
    let mut home = Home::open().await;
    let id = home.circle;
    let admin = home.world.person("root").await;
    home.world.promote(&admin);
    home.ann.peer.join_circle(id).await;
    let token = admin.token.as_str();

    let new = json!({ "token": token, "circle_id": id, "name": "Kitchen" });
    home.world.ok("/admin/device/create", new).await;
    let created = vec![("device created".to_owned(), json!({ "circle_id": id }))];
    assert_eq!(home.ann.peer.heard().await, created);
    let info = json!({ "token": home.ann.token, "circle_id": id });
    let info = home.world.ok("/circle/info", info).await;
    let device = info["content"]["device"]["id"].as_i64().unwrap();
    let which = json!({ "token": token, "device_id": device });
    let papers = home.world.ok("/admin/device/credentials", which).await["content"].clone();
    let activate = json!({
        "token": token, "device_id": device, "activation_key": papers["key"],
    });
    home.world.ok("/admin/device/activate", activate).await;
    home.ann.peer.heard().await;

    let username = papers["username"].as_str().unwrap();
    let door = home.world.device_token(username, papers["password"].as_str().unwrap()).await;
    let told = |what: &str| {
        circle(json!({ "event": "device", "type": what, "device_id": device, "circle_id": id }))
    };
    assert_eq!(home.ann.peer.heard().await, told("connect"));
    let rename = json!({ "device_token": door, "device_id": device, "name": "Hall" });
    home.world.ok("/device/update", rename).await;
    assert_eq!(home.ann.peer.heard().await, told("update"));
    home.world.ok("/device/logout", json!({ "device_token": door })).await;
    assert_eq!(home.ann.peer.heard().await, told("disconnect"));

    home.world.ok("/admin/circle/delete", json!({ "token": token, "circle_id": id })).await;
    let heard = home.ann.peer.heard().await;
    let deleted = circle(json!({ "event": "delete", "circle_id": id }));
    assert!(heard.starts_with(&deleted), "{heard:?}");
    home.ann.peer.fail("join_circle", json!({ "circle_id": id })).await;
    home.ann.peer.fail("join_conversation", home.here()).await;
    home.ann.peer.fail("message", home.words("into the void")).await;
}
