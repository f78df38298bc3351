//! What conversations are told (NEO 4.2): payload, receivers, and before the answer.

use serde_json::json;

use super::Home;
use crate::support::world::Heard;

fn told(payload: serde_json::Value) -> Vec<Heard> {
    vec![("conversation".to_owned(), payload)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_hears_of_its_members_before_the_answer() {
    let mut home = Home::open().await;
    let id = home.conversation;
    let mut carl = home.carl().await;
    let token = home.ann.token.clone();

    // Invite and promotion: to the one concerned alone, on all connections.
    let mut laptop = home.world.peer(&carl.token).await;
    let wish = json!({ "token": token, "conversation_id": id, "email": carl.email });
    home.world.ok("/conversation/invite", wish.clone()).await;
    let invited = told(json!({ "event": "invite", "conversation_id": id }));
    assert_eq!(carl.peer.heard().await, invited);
    assert_eq!(laptop.heard().await, invited);
    home.ann.peer.quiet().await;
    home.bob.peer.quiet().await;
    home.world.ok("/conversation/promote", wish).await;
    let promoted = told(json!({ "event": "promoted", "conversation_id": id }));
    assert_eq!(carl.peer.heard().await, promoted);
    assert_eq!(laptop.heard().await, promoted);
    home.ann.peer.quiet().await;

    // Update: the room.
    let update = json!({ "token": carl.token, "conversation_id": id, "conversation_name": "Tea" });
    home.world.ok("/conversation/update", update).await;
    let updated = told(json!({ "event": "update", "conversation_id": id }));
    assert_eq!(home.ann.peer.heard().await, updated);
    assert_eq!(home.bob.peer.heard().await, updated);
    carl.peer.quiet().await;

    // Kick: the room with the one removed, who then hears nothing more, on any connection.
    let mut phone = home.world.peer(&home.bob.token).await;
    phone.join(id).await;
    carl.peer.join(id).await;
    let kick = json!({ "token": carl.token, "conversation_id": id, "email": home.bob.email });
    home.world.ok("/conversation/kick", kick).await;
    let kicked = told(json!({
        "event": "kick", "user": home.bob.email, "user_id": home.bob.id, "from": carl.email,
        "conversation_id": id,
    }));
    for peer in [&mut home.ann.peer, &mut home.bob.peer, &mut phone, &mut carl.peer] {
        assert_eq!(peer.heard().await, kicked);
    }
    home.ann.peer.succeed("message", home.words("he has gone")).await;
    home.bob.peer.quiet().await;
    phone.quiet().await;
    home.bob.peer.fail("join_conversation", home.here()).await;
    home.bob.peer.fail("message", home.words("let me in")).await;

    // Quit.
    carl.peer.heard().await;
    home.ann.peer.heard().await;
    home.world.ok("/conversation/quit", json!({ "token": token, "conversation_id": id })).await;
    let quit = told(
        json!({ "event": "quit", "user": home.ann.email, "user_id": home.ann.id, "conversation_id": id }),
    );
    assert_eq!(home.ann.peer.heard().await, quit);
    assert_eq!(carl.peer.heard().await, quit);
    carl.peer.succeed("message", home.words("alone at last")).await;
    home.ann.peer.quiet().await;

    // Who comes back has a new link.
    let wish = json!({ "token": carl.token, "conversation_id": id, "email": home.bob.email });
    home.world.ok("/conversation/invite", wish).await;
    home.bob.peer.expect("conversation").await;
    home.bob.peer.join(id).await;
    home.bob.peer.succeed("message", home.words("back")).await;
    assert!(home.bob.peer.expect("message").await["message"]["link_id"].is_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn oneself_cannot_be_promoted_or_kicked() {
    let mut home = Home::open().await;
    for path in ["/conversation/promote", "/conversation/kick"] {
        let itself = json!({
            "token": home.ann.token, "conversation_id": home.conversation,
            "email": home.ann.email,
        });
        assert_eq!(home.world.post(path, itself).await.0, 400, "{path}");
    }
    home.ann.peer.quiet().await;
    home.bob.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_removal_of_a_conversation_puts_everybody_out() {
    let mut home = Home::open().await;
    let admin = home.world.person("root").await;
    home.world.promote(&admin);
    // Only new clients are told (RULINGS 56).
    home.ann.peer.ask("sync", json!({ "conversation_id": home.conversation, "since": 0 })).await;
    let which = json!({ "token": admin.token, "conversation_id": home.conversation });
    home.world.ok("/admin/conversation/delete", which).await;
    let deleted = told(json!({ "event": "delete", "conversation_id": home.conversation }));
    assert_eq!(home.ann.peer.heard().await, deleted);
    home.bob.peer.quiet().await;
    home.ann.peer.fail("message", home.words("into the void")).await;
    home.bob.peer.fail("join_conversation", home.here()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_enter_a_room_becomes_its_member_by_using_it() {
    let mut home = Home::open().await;
    let room = |words: &[&str]| -> i64 {
        let room: serde_json::Value = serde_json::from_str(&home.world.command(words)).unwrap();
        room["id"].as_i64().unwrap()
    };
    let (tea, kitchen) =
        (room(&["room", "add", "Tea"]), room(&["room", "add", "Kitchen", "--staff-only"]));
    home.ann.peer.join(tea).await;
    // To send, one need not have joined.
    let words = json!({ "conversation_id": tea, "text_message": "hello" });
    home.bob.peer.succeed("message", words).await;
    let heard = home.ann.peer.expect("message").await;
    assert!(heard["message"]["link_id"].is_i64(), "{heard}");
    home.bob.peer.quiet().await;
    home.ann.peer.fail("join_conversation", json!({ "conversation_id": kitchen })).await;
    home.ann.peer.fail("message", json!({ "conversation_id": kitchen })).await;
    // Its removal, by another process, puts everybody out.
    home.world.command(&["room", "remove", &tea.to_string()]);
    home.bob.peer.fail("join_conversation", json!({ "conversation_id": tea })).await;
}
