//! Migrations where others hold their lock, and behind a pooler that hands out connections per transaction.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use klatsch::clock::Clock;
use klatsch::store::{Options, Store, StoreError};
use sea_orm::{ConnectionTrait, Database as Connector};

use crate::support::databases::{self, Server};
use crate::support::programs::skipped;
use crate::support::site::Site;

/// `PgBouncer`, on a socket in a folder of its own; it ends with this.
struct Pooler {
    process: Child,
    folder: PathBuf,
}

impl Pooler {
    fn start(server: &Server, mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
        let Some(program) = program.into_iter().find(|path| PathBuf::from(path).exists()) else {
            skipped("migrations behind PgBouncer, which is not installed");
            return None;
        };
        let folder = databases::directory("postgres");
        let socket = server.socket();
        let file = folder.join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={} user=klatsch\n[pgbouncer]\nlisten_port = 6432\n\
             unix_socket_dir = {}\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            socket.parent().unwrap().display(),
            folder.display(),
        );
        std::fs::write(&file, settings).unwrap();
        let start = databases::as_user("postgres", &format!("{program} -q {}", file.display()));
        let process = Command::new("sh")
            .args(["-c", &start])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self { process, folder };
        while !pooler.folder.join(".s.PGSQL.6432").exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }

    fn url(&self, database: &databases::Database) -> String {
        let name = database.url.split(['/', '?']).nth(3).unwrap();
        format!("postgres://klatsch@localhost:6432/{name}?host={}", self.folder.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_behind_a_pooler_leaves_no_lock() {
    let Some(server) = databases::postgres() else { return };
    for mode in ["transaction", "session"] {
        let Some(pooler) = Pooler::start(server, mode) else { return };
        let database = server.database().await;
        let site = Site::new().set("DATABASE__URL", pooler.url(&database));
        for turn in 0..4 {
            let said = site.run(&["migrate"]).await;
            assert_eq!(said.contains("commits"), turn == 0, "{mode}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_behind_a_pooler_of_sessions_works() {
    let Some(server) = databases::postgres() else { return };
    let Some(pooler) = Pooler::start(server, "session") else { return };
    let database = server.database().await;
    let site = Site::new().set("DATABASE__URL", pooler.url(&database));
    let room = site.room().await;
    let token = site.person("ann").await;
    let process = site.start().await;
    let mut wire = crate::support::site::Wire::open(&process.url, &token).await.unwrap();
    for text in ["one", "two", "three"] {
        let answer = wire.ask("message", &super::message(room, text)).await.unwrap();
        assert_eq!(answer["success"], true, "{answer}");
    }
}

/// Whoever finds the lock taken waits for a while and then says so, and by whom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_others_keep_is_told_in_a_sentence() {
    for database in databases::each().await {
        let mut options = Options::at(&database.url);
        options.deadline = Duration::from_millis(100);
        let store = Store::open(&options, Clock::system()).await.unwrap();
        let mut connect = sea_orm::ConnectOptions::new(database.url_to_create());
        connect.max_connections(1);
        let other = Connector::connect(connect).await.unwrap();
        let lock = match database.name {
            "SQLite" => "BEGIN IMMEDIATE".to_owned(),
            "PostgreSQL" => format!("SELECT pg_advisory_lock({})", 0x006b_6c61_7473_6368_i64),
            _ => "DO GET_LOCK(CONCAT('klatsch.', LEFT(DATABASE(), 50)), 10)".to_owned(),
        };
        other.execute_unprepared(&lock).await.unwrap();
        let refused = tokio::time::timeout(Duration::from_mins(1), store.migrate()).await;
        let refused = refused.expect("it has a limit").unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }), "{}: {refused:?}", database.name);
        assert!(refused.to_string().contains("lock of migrations"), "{refused}");
        if database.name == "PostgreSQL" {
            assert!(refused.to_string().contains("session "), "{refused}");
        }
        other.close().await.unwrap();
        store.migrate().await.unwrap();
    }
}
