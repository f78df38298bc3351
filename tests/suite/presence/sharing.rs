//! Whom presence is told to: those who share a circle with the person, or to whom it has
//! written; from the change on that makes it so, and no longer than that.

use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::{Person, World};

/// A courier client with the extras, once what waited is out.
async fn courier(world: &World, person: &Person) -> Raw {
    let url = format!("ws://{}/?extras=1", world.port_of("courier"));
    let mut client = Raw::connect(&url, &[]).await;
    client.send(person.id.to_string()).await;
    assert_eq!(client.text().await, format!("user id {} received", person.id));
    while client.json().await["type"] != "backlog_done" {}
    client
}

/// The next frame of a type.
async fn next(client: &mut Raw, kind: &str) -> Value {
    loop {
        let frame = client.json().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// Comes, is let in, and goes.
async fn visit(world: &World, person: &Person) {
    let mut peer = world.peer(&person.token).await;
    peer.say(r#"42["disconnect"]"#);
    peer.ended().await;
}

/// Whose comings and goings a client hears of, of these who visit one after the other.
async fn heard(world: &World, client: &mut Raw, people: &[&Person], witness: &Person) -> Vec<i64> {
    for person in people {
        visit(world, person).await;
    }
    // Told in order: everything before the witness has been told by then.
    visit(world, witness).await;
    let mut heard = Vec::new();
    loop {
        let frame = next(client, "presence").await;
        let (id, online) = (frame["user_id"].as_i64().unwrap(), frame["online"] == json!(true));
        if id == witness.id && !online {
            return heard;
        }
        if id != witness.id && !online {
            heard.push(id);
        }
    }
}

async fn absent(world: &World, name: &str) -> Person {
    let mut person = world.person(name).await;
    person.peer.say(r#"42["disconnect"]"#);
    person.peer.ended().await;
    person
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_makes_a_group_learns_nothing_of_those_who_have_not_written() {
    let world = World::open().await;
    let ann = world.person("ann").await;
    let (victim, writer) = (absent(&world, "victim").await, absent(&world, "writer").await);
    let friend = absent(&world, "friend").await;
    world.circle(&ann, &[&friend]).await;
    let mut client = courier(&world, &ann).await;
    let open = json!({
        "conv_id": 1, "member": [ann.id, victim.id, writer.id], "group_name": "Prey",
        "description": "", "type": "init_group",
    });
    client.send_json(&open).await;
    let group = next(&mut client, "group").await["db_conv_id"].as_i64().unwrap();
    let people = [&victim, &writer];
    assert_eq!(heard(&world, &mut client, &people, &friend).await, Vec::<i64>::new());
    // Whoever answers is known from then on.
    let words = json!({"token": writer.token, "conversation_id": group, "text_message": "yes?"});
    world.ok("/message/send", words).await;
    assert_eq!(heard(&world, &mut client, &people, &friend).await, [writer.id]);
    // The same in a direct conversation: she has written, he has not.
    let open = json!({"conv_id": 2, "member": [victim.id], "type": "init_personal"});
    client.send_json(&open).await;
    let direct = next(&mut client, "personal").await["db_conv_id"].as_i64().unwrap();
    client.send_json(&json!({"msg": "hello?", "conv_id": direct, "type": "personal"})).await;
    assert_eq!(heard(&world, &mut client, &people, &friend).await, [writer.id]);
    let words = json!({"token": victim.token, "conversation_id": direct, "text_message": "no"});
    world.ok("/message/send", words).await;
    assert_eq!(heard(&world, &mut client, &people, &friend).await, [victim.id, writer.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_is_shared_from_the_joining_to_the_leaving() {
    let world = World::open().await;
    let ann = world.person("ann").await;
    let (bob, friend) = (absent(&world, "bob").await, absent(&world, "friend").await);
    let circle = world.circle(&ann, &[&friend]).await;
    let mut client = courier(&world, &ann).await;
    assert_eq!(heard(&world, &mut client, &[&bob], &friend).await, Vec::<i64>::new());
    for round in ["kick", "quit", "kick"] {
        world.bring(&ann, &bob, circle).await;
        assert_eq!(heard(&world, &mut client, &[&bob], &friend).await, [bob.id], "{round}");
        let out = json!({"token": ann.token, "circle_id": circle, "email": bob.email});
        let (path, wish) = match round {
            "kick" => ("/circle/kick", out),
            _ => ("/circle/quit", json!({"token": bob.token, "circle_id": circle})),
        };
        world.ok(path, wish).await;
        assert_eq!(heard(&world, &mut client, &[&bob], &friend).await, Vec::<i64>::new());
    }
    // One that is there already when she makes a circle, and when he joins.
    let bob_is_there = world.peer(&bob.token).await;
    let second = world.circle(&ann, &[&bob]).await;
    drop(bob_is_there);
    assert_eq!(next(&mut client, "presence").await["user_id"], json!(bob.id));
    let out = json!({"token": ann.token, "circle_id": second, "email": bob.email});
    world.ok("/circle/kick", out).await;
    assert_eq!(heard(&world, &mut client, &[&bob], &friend).await, Vec::<i64>::new());
}
