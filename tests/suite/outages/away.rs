//! A database server that stands still, has moved, or ended every connection.

use klatsch::clock::Clock;
use klatsch::store::{Options, Store};
use sea_orm::{ConnectionTrait, Database as Connector, DatabaseConnection};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{LIMIT, message, status, until_it_is};
use crate::support::databases;
use crate::support::proxy::Proxy;
use crate::support::site::{Site, Wire};

/// What is sent while the server stands still is answered, or its connection ends; and then everything goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_answered_while_the_database_stands_still() {
    for server in [databases::Server::postgres(), databases::Server::mariadb()] {
        let Some(server) = server else { continue };
        let database = server.database().await;
        let site = Site::new().set("DATABASE__URL", &database.url).set("DATABASE__TIMEOUT", "1");
        let room = site.room().await;
        let token = site.person("ann").await;
        let process = site.start().await;
        let client = reqwest::Client::new();
        let to = |path: &str| format!("{}{path}", process.url);
        let ready = || client.get(to("/readyz"));
        let login = || {
            let body = json!({ "email": "ann@example.org", "password": "x" });
            client.post(to("/account/login")).json(&body)
        };
        let list = || client.post(to("/circle/list")).json(&json!({ "token": token }));
        let make =
            || client.post(to("/circle/create")).json(&json!({ "token": token, "name": "Tea" }));
        let mut wires = Vec::new();
        for _ in 0..3 {
            wires.push(Wire::open(&process.url, &token).await.unwrap());
        }
        until_it_is(200, ready).await;
        until_it_is(200, list).await;

        server.signal("STOP");
        let begun = Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for (number, mut wire) in wires.drain(..).enumerate() {
            asking.spawn(async move {
                // A command behind the other on one socket, of several kinds.
                for step in 0..6 {
                    let answer = match step % 3 {
                        0 => wire.ask("sync", &json!({ "conversation_id": room })).await,
                        1 => wire.ask("message", &message(room, &format!("{number} {step}"))).await,
                        _ => {
                            let join = json!({ "conversation_id": room });
                            wire.ask("join_conversation", &join).await
                        }
                    };
                    if answer.is_err() {
                        return;
                    }
                }
            });
        }
        let told = async {
            let (a, b, c, d) =
                tokio::join!(status(ready()), status(login()), status(list()), status(make()));
            assert_eq!([a, b, c, d], [503; 4], "{}", database.name);
            while asking.join_next().await.is_some() {}
        };
        timeout(3 * LIMIT, told).await.expect("everything is answered");
        // Those who come later are told soon.
        assert_eq!(status(ready()).await, 503);
        eprintln!("{}: answered after {:?}", database.name, begun.elapsed());

        server.signal("CONT");
        until_it_is(200, ready).await;
        until_it_is(200, list).await;
        until_it_is(200, make).await;
        let mut wire = Wire::open(&process.url, &token).await.unwrap();
        let answer = wire.ask("message", &message(room, "afterwards")).await.unwrap();
        assert_eq!(answer["success"], true, "{}: {answer}", database.name);
    }
}

/// The way to the host is gone without a word, and its name leads elsewhere: it is used as soon as one limit has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_moved_is_found_again() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        let database = server.database().await;
        let proxy = Proxy::start(&server.socket()).await;
        let site = Site::new()
            .set("DATABASE__URL", server.url_by(proxy.port, &database))
            .set("DATABASE__TIMEOUT", "1");
        let room = site.room().await;
        let token = site.person("ann").await;
        let process = site.start().await;
        let client = reqwest::Client::new();
        let list = || {
            let body = json!({ "token": token });
            client.post(format!("{}/circle/list", process.url)).json(&body)
        };
        let ready = || client.get(format!("{}/readyz", process.url));
        let mut wire = Wire::open(&process.url, &token).await.unwrap();
        assert_eq!(wire.ask("message", &message(room, "one")).await.unwrap()["success"], true);
        let many = futures_util::future::join_all((0..16).map(|_| status(list()))).await;
        assert_eq!(many, [200; 16]);

        // The connections have been given back, and sit idle.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        proxy.silence();
        let begun = Instant::now();
        until_it_is(200, ready).await;
        until_it_is(200, list).await;
        let many = futures_util::future::join_all((0..16).map(|_| status(list()))).await;
        assert_eq!(many, [200; 16], "{}", database.name);
        let mut wire = Wire::open(&process.url, &token).await.unwrap();
        while wire.ask("message", &message(room, "two")).await.unwrap()["success"] != true {
            assert!(begun.elapsed() < 3 * LIMIT, "{}", database.name);
        }
        eprintln!("{}: found again after {:?}", database.name, begun.elapsed());
        // They are not kept to where nobody answers; one may have been in the driver's own hands just then.
        while proxy.kept_in_vain() > 2 {
            assert!(begun.elapsed() < 3 * LIMIT, "{}: {}", database.name, proxy.kept_in_vain());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Ends every connection to this database but the operator's own.
async fn end_all(operator: &DatabaseConnection, name: &str) {
    if name == "PostgreSQL" {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        operator.execute_unprepared(end).await.unwrap();
        return;
    }
    let list = "SELECT id FROM information_schema.processlist \
        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let backend = operator.get_database_backend();
    let list = sea_orm::Statement::from_string(backend, list);
    for row in operator.query_all_raw(list).await.unwrap() {
        let id: i64 = row.try_get("", "id").unwrap();
        // It may have ended by itself.
        let _ = operator.execute_unprepared(&format!("KILL {id}")).await;
    }
}

/// As a restart of the database does: whoever reads notices nothing, whoever writes is refused once at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_connections_are_replaced_without_refusing_everybody() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        let database = server.database().await;
        let store = Store::open(&Options::at(&database.url), Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        let operator = Connector::connect(&database.url).await.unwrap();
        let slow =
            if database.name == "PostgreSQL" { "SELECT pg_sleep(0.2)" } else { "DO SLEEP(0.2)" };
        for _ in 0..3 {
            // All connections of the pool are there.
            let reads = (0..8).map(|_| store.reads().execute_unprepared(slow));
            assert!(futures_util::future::join_all(reads).await.iter().all(Result::is_ok));
            end_all(&operator, database.name).await;
            let mut refused = 0;
            for _ in 0..12 {
                refused += usize::from(store.ping().await.is_err());
            }
            let written = store
                .write(async |tx| {
                    tx.execute_unprepared("UPDATE counters SET value = value").await?;
                    Ok(())
                })
                .await;
            refused += usize::from(written.is_err());
            assert!(refused <= 1, "{}: {refused} refusals", database.name);
        }
        operator.close().await.unwrap();
    }
}
