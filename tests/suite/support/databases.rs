//! Databases to test against: SQLite in a file, and private PostgreSQL and MariaDB servers.
//!
//! The servers are started once per run from the packages of the system, listen on a socket in a directory of their
//! own and end with this process, however it ends. What is not installed is skipped, and said so; with
//! `KLATSCH_TEST_DATABASES=all` it is an error instead.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use klatsch::clock::Clock;
use klatsch::store::{Options, Store};
use sea_orm::{ConnectionTrait, Database as Connector};
use tempfile::TempDir;

use super::world::DEADLINE;

/// An empty database of a test's own.
pub(crate) struct Database {
    /// Which of the three it is, for messages.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

impl Database {
    /// The address for a driver that would not make SQLite's file by itself.
    pub(crate) fn url_to_create(&self) -> String {
        if self.name == "SQLite" { format!("{}?mode=rwc", self.url) } else { self.url.clone() }
    }

    /// Opens it, with the schema made.
    pub(crate) async fn store(&self) -> Store {
        let store = self.open().await;
        store.migrate().await.expect("the schema can be made");
        store
    }

    /// Opens it as it is.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&Options::at(&self.url), Clock::system()).await.expect("the database opens")
    }
}

/// An empty database of every kind that is there.
pub(crate) async fn each() -> Vec<Database> {
    let mut databases = vec![sqlite()];
    for server in [postgres(), mariadb()].into_iter().flatten() {
        databases.push(server.database().await);
    }
    databases
}

/// An empty SQLite database.
pub(crate) fn sqlite() -> Database {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let url = format!("sqlite:{}/klatsch.db", dir.path().display());
    Database { name: "SQLite", url, _dir: Some(dir) }
}

/// The server of this run, if PostgreSQL is installed.
pub(crate) fn postgres() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| found("PostgreSQL", Server::postgres())).as_ref()
}

/// The server of this run, if MariaDB is installed.
pub(crate) fn mariadb() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| found("MariaDB", Server::mariadb())).as_ref()
}

fn found(name: &str, server: Option<Server>) -> Option<Server> {
    if server.is_none() {
        let all = std::env::var("KLATSCH_TEST_DATABASES").is_ok_and(|value| value == "all");
        assert!(!all, "{name} is not installed, and KLATSCH_TEST_DATABASES=all asks for it");
        // Past the capture of the test harness: who reads the output shall know.
        let _ = writeln!(std::io::stderr(), "skipped: tests on {name}, which is not installed");
    }
    server
}

/// A database server in a directory of its own.
pub(crate) struct Server {
    name: &'static str,
    start: String,
    /// What ends it at once.
    signal: &'static str,
    dir: PathBuf,
    /// Ends the server when its standard input closes, at the latest with this process.
    keeper: Child,
}

impl Server {
    /// A server of its own for a test that stops it; nothing if PostgreSQL is not installed.
    pub(crate) fn postgres() -> Option<Self> {
        let bin = std::fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .filter_map(|version| Some(version.ok()?.path().join("bin")))
            .filter(|bin| bin.join("postgres").exists())
            .max()?;
        let (bin, dir) = (bin.display(), directory("postgres"));
        let path = dir.display();
        run(&as_user(
            "postgres",
            &format!("{bin}/initdb -D {path}/data -U klatsch -A trust -N -E UTF8 --locale=C"),
        ));
        let start = as_user(
            "postgres",
            &format!("{bin}/postgres -D {path}/data -k {path} -c listen_addresses= -F"),
        );
        Some(Self::start("PostgreSQL", start, "QUIT", dir))
    }

    /// The same with MariaDB.
    pub(crate) fn mariadb() -> Option<Self> {
        let daemon = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]
            .into_iter()
            .find(|daemon| Path::new(daemon).exists())?;
        let dir = directory("mysql");
        let path = dir.display();
        run(&as_user(
            "mysql",
            &format!(
                "mariadb-install-db --no-defaults --datadir={path}/data --skip-test-db \
                 --auth-root-authentication-method=normal"
            ),
        ));
        let start = as_user(
            "mysql",
            &format!(
                "{daemon} --no-defaults --datadir={path}/data --socket={path}/socket \
                 --pid-file={path}/pid --skip-networking --innodb-flush-log-at-trx-commit=2"
            ),
        );
        Some(Self::start("MariaDB", start, "KILL", dir))
    }

    fn start(name: &'static str, start: String, signal: &'static str, dir: PathBuf) -> Self {
        let keeper = keep(&start, signal, &dir);
        Self { name, start, signal, dir, keeper }
    }

    /// Ends the server at once, as a crash would, and keeps its data.
    pub(crate) fn stop(&mut self) {
        let mut input = self.keeper.stdin.take().expect("the server runs");
        input.write_all(b"keep").expect("its keeper listens");
        drop(input);
        self.keeper.wait().expect("the server ends");
    }

    /// Starts it again on the same data.
    pub(crate) fn resume(&mut self) {
        self.keeper = keep(&self.start, self.signal, &self.dir);
    }

    /// Makes an empty database.
    pub(crate) async fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let root = self.url(if self.name == "MariaDB" { "mysql" } else { "postgres" });
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        let connection = loop {
            match Connector::connect(&root).await {
                Ok(connection) => break connection,
                Err(error) => {
                    assert!(tokio::time::Instant::now() < deadline, "{}: {error}", self.name);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let create = format!("CREATE DATABASE {name}");
        connection.execute_unprepared(&create).await.expect("a database can be made");
        connection.close().await.expect("a connection can be closed");
        Database { name: self.name, url: self.url(&name), _dir: None }
    }

    /// The socket it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(if self.name == "MariaDB" { "socket" } else { ".s.PGSQL.5432" })
    }

    /// A database of it, by way of a port that leads to its socket.
    pub(crate) fn url_by(&self, port: u16, database: &Database) -> String {
        let name = database.url.split(['/', '?']).nth(3).unwrap_or_default();
        match self.name {
            "MariaDB" => format!("mysql://root@127.0.0.1:{port}/{name}"),
            _ => format!("postgres://klatsch@127.0.0.1:{port}/{name}"),
        }
    }

    /// Sends a signal to the server and what it has started: `STOP`, `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        for pid in self.pids() {
            // One may have ended meanwhile.
            let _ = Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .stderr(Stdio::null())
                .status();
            // Its threads stop one after another.
            let begun = Instant::now();
            while signal == "STOP" && !stands_still(&pid) && begun.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The processes of the server, its own and no others.
    fn pids(&self) -> Vec<String> {
        let children = |pid: &str| -> Vec<String> {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let list = std::fs::read_to_string(path).unwrap_or_default();
            list.split_whitespace().map(ToOwned::to_owned).collect()
        };
        let mut pids: Vec<String> = Vec::new();
        let mut next = children(&self.keeper.id().to_string());
        while let Some(pid) = next.pop() {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            next.extend(children(&pid));
            if name.starts_with("postgres") || name.starts_with("mariadbd") {
                pids.push(pid);
            }
        }
        pids
    }

    fn url(&self, database: &str) -> String {
        let dir = self.dir.display();
        match self.name {
            "MariaDB" => format!("mysql://root@localhost/{database}?socket={dir}/socket"),
            _ => format!("postgres://klatsch@localhost/{database}?host={dir}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped one would not hear that it is to end.
        self.signal("CONT");
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A shell that runs the server until our end of its input closes, and cleans up unless told to keep the data.
fn keep(start: &str, signal: &str, dir: &Path) -> Child {
    let dir = dir.display();
    let script = format!(
        "{start} >>{dir}/log 2>&1 </dev/null & server=$!\n\
         word=$(cat)\n\
         kill -{signal} $server; wait $server\n\
         [ \"$word\" = keep ] || rm -rf {dir}"
    );
    Command::new("sh")
        .args(["-c", &script])
        // Out of reach of a Ctrl-C, which would leave nobody to clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be started")
}

/// A new directory that the user may write to.
pub(crate) fn directory(user: &str) -> PathBuf {
    let dir =
        tempfile::Builder::new().prefix("klatsch-").tempdir().expect("a directory can be made");
    if let Some((uid, gid)) = other_user(user) {
        chown(dir.path(), Some(uid), Some(gid)).expect("root may give a directory away");
    }
    dir.keep()
}

/// The command as that user, if we are root: these servers refuse to run as root.
pub(crate) fn as_user(user: &str, command: &str) -> String {
    match other_user(user) {
        Some((uid, gid)) => {
            format!("exec setpriv --reuid={uid} --regid={gid} --clear-groups {command}")
        }
        None => format!("exec {command}"),
    }
}

fn other_user(name: &str) -> Option<(u32, u32)> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let users = std::fs::read_to_string("/etc/passwd").ok().filter(|_| root)?;
    let user = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = user.split(':').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn run(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}

/// Whether every thread of a process is stopped, or it has ended.
fn stands_still(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().all(|thread| {
        let line = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which is in brackets.
        line.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}
