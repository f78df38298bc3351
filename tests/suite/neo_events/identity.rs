//! A token that comes with the connection is shown before anything else is done.

use serde_json::{Value, json};

use super::Home;
use crate::support::node::{Client, GENERATIONS, Node, Way};
use crate::support::world::World;

/// How each generation says a token when it connects.
fn opts(generation: &str, token: &str) -> Value {
    match generation {
        "sio136" | "sio174" => json!({ "query": format!("token={token}") }),
        "sio250" => json!({ "query": { "token": token } }),
        _ => json!({ "auth": { "token": token } }),
    }
}

async fn home() -> Home {
    let world = World::with(|settings| {
        settings.limits.sockets_per_user = 100.try_into().unwrap();
    })
    .await;
    Home::in_world(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_kept_while_it_was_away_is_stored() {
    let home = home().await;
    let url = home.world.url();
    let node = Node::start();
    for generation in GENERATIONS {
        for way in Way::ALL {
            let text = format!("kept by {generation} {way:?}");
            let early = json!([["message", home.words(&text)], ["join_conversation", home.here()]]);
            let opts = opts(generation, &home.ann.token);
            let command = json!({ "client": generation, "opts": opts, "early": early });
            let mut client = node.open_with(command, way, &url).await;
            answered(&mut client).await;
        }
    }
    for environment in ["python-eio3", "python"] {
        let Some(python) = Node::start_python(environment) else { continue };
        let token = &home.ann.token;
        let (opts, url) = if environment == "python" {
            (json!({ "auth": { "token": token } }), url.clone())
        } else {
            (json!({}), format!("{url}/?token={token}"))
        };
        let mut client = python.open(environment, Way::WebSocket, &url, opts).await;
        client.connected(Way::WebSocket).await;
        client.emit("message", home.words(environment));
        client.emit("join_conversation", home.here());
        answered(&mut client).await;
    }
}

/// The three answers, in the order of what they answer.
async fn answered(client: &mut Client) {
    let name = client.name.clone();
    assert!(client.event("success").await.is_string(), "{name}: who it is");
    assert_eq!(client.event("success").await["received"], true, "{name}: the message");
    assert!(client.event("success").await.is_string(), "{name}: the conversation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_leaves_the_connection_open_and_unknown() {
    let home = home().await;
    let url = home.world.url();
    let node = Node::start();
    for generation in GENERATIONS {
        let opts = opts(generation, "nonsense");
        let mut client = node.open(generation, Way::WebSocket, &url, opts).await;
        client.connected(Way::WebSocket).await;
        assert!(client.event("error").await.is_string(), "{generation}");
        client.emit("message", home.words("from nobody"));
        assert!(client.event("error").await.is_string(), "{generation}");
        client.emit("authenticate", json!({ "token": home.ann.token }));
        assert!(client.event("success").await.is_string(), "{generation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_wins_and_an_empty_token_is_none() {
    let home = home().await;
    let (url, node) = (home.world.url(), Node::start());
    let good = home.ann.token.as_str();
    let table = [
        (json!({ "auth": { "token": good }, "query": { "token": "bad" } }), Some(true)),
        (json!({ "auth": { "token": "bad" }, "query": { "token": good } }), Some(false)),
        (json!({ "auth": { "token": "" }, "query": { "token": good } }), Some(true)),
        (json!({ "query": { "token": good } }), Some(true)),
        (json!({ "auth": { "token": "" }, "query": { "token": "" } }), None),
        (json!({ "auth": { "token": null } }), None),
        (json!({ "auth": { "token": 5 } }), Some(false)),
        (json!({ "auth": { "name": "Ann" } }), None),
        (json!({}), None),
    ];
    for (opts, expected) in table {
        let what = opts.to_string();
        let mut client = node.open("sio48", Way::WebSocket, &url, opts).await;
        client.connected(Way::WebSocket).await;
        client.emit("join_conversation", home.here());
        let Some(is_good) = expected else {
            client.event("error").await;
            assert_eq!(client.reported().len(), 0, "{what}");
            continue;
        };
        client.event(if is_good { "success" } else { "error" }).await;
        client.event(if is_good { "success" } else { "error" }).await;
    }
}
