//! Standard streams that take nothing: full, left by their reader, or stuck. The server serves
//! and ends all the same, and commands say by their status that nobody has their result.

use std::fs::{File, OpenOptions};
use std::io::{Write as _, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::server::klatsch;

const DEADLINE: Duration = Duration::from_mins(1);

/// Why a stream takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Full,
    Gone,
    Stuck,
}

/// A stream that takes nothing, and what keeps it so.
fn bad(why: Bad) -> (Stdio, Option<std::io::PipeReader>) {
    if why == Bad::Full {
        return (OpenOptions::new().write(true).open("/dev/full").unwrap().into(), None);
    }
    let (reader, mut writer) = pipe().unwrap();
    if why == Bad::Gone {
        return (writer.into(), None);
    }
    // As much as a pipe holds.
    writer.write_all(&vec![b'\n'; 65_536]).unwrap();
    (writer.into(), Some(reader))
}

fn log_of(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap()
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                panic!("it does not end");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// What SQLite leaves beside its file when it was not closed.
fn left_behind(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with("-wal") || name.ends_with("-shm")).collect()
}

#[test]
fn commands_whose_result_nobody_can_have_fail_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let made = klatsch(folder.path()).args(["user", "add", "a@example.org"]).output().unwrap();
    assert!(made.status.success());
    let table = [
        "--help",
        "--version",
        "help user",
        "user --help",
        "user add --help",
        "openapi",
        "check",
        "migrate",
        "user list",
        "user token 1",
        "user set 1 --staff",
        "room add Tea",
        "room list",
        "room remove 1",
        "session add 1",
        "doctor http://127.0.0.1:1",
    ];
    for (index, line) in table.into_iter().enumerate() {
        let (out, _) = bad(if index % 2 == 0 { Bad::Full } else { Bad::Gone });
        let mut command = klatsch(folder.path());
        command.args(line.split(' ')).stdout(out).stderr(Stdio::piped());
        let done = command.output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{line}: {said}");
        assert!(said.starts_with("klatsch: standard output cannot be written: "), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        assert_eq!(left_behind(folder.path()), [""; 0], "{line}");
    }
}

#[test]
fn complaints_that_nobody_hears_fail_as_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let table = [("drink tea", 2), ("user", 2), ("user token 7", 1), ("serve --config none", 1)];
    for (line, code) in table {
        for why in [Bad::Full, Bad::Gone, Bad::Stuck] {
            let (errors, _reader) = bad(why);
            let mut command = klatsch(folder.path());
            let mut child = command
                .args(line.split(' '))
                .env("RUST_LOG", "trace")
                .stdout(Stdio::null())
                .stderr(errors)
                .spawn()
                .unwrap();
            assert_eq!(wait(&mut child).code(), Some(code), "{line} {why:?}");
        }
    }
}

/// A server on a port that is known beforehand.
fn serve(folder: &TempDir, streams: [Stdio; 2], extra: &[(&str, &str)]) -> (Child, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [out, errors] = streams;
    let child = klatsch(folder.path())
        .arg("serve")
        .env("KLATSCH_HTTP__LISTEN", format!("127.0.0.1:{port}"))
        .env("KLATSCH_COURIER__LISTEN", "127.0.0.1:0")
        .env("KLATSCH_TURN__LISTEN", "127.0.0.1:0")
        .env_remove("RUST_LOG")
        .envs(extra.iter().copied())
        .stdout(out)
        .stderr(errors)
        .spawn()
        .unwrap();
    (child, format!("127.0.0.1:{port}"))
}

async fn page(address: &str, path: &str) -> Option<String> {
    let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    client.get(format!("http://{address}{path}")).send().await.ok()?.text().await.ok()
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look().await {
            Some(found) => return found,
            None if Instant::now() > deadline => panic!("{what}: never"),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_words_nobody_takes_serves_and_ends() {
    let table = [
        ([None, Some(Bad::Gone)], "info"),
        ([None, Some(Bad::Gone)], "debug"),
        ([None, Some(Bad::Full)], "debug"),
        ([None, Some(Bad::Stuck)], "debug"),
        ([Some(Bad::Gone), None], "info"),
        ([Some(Bad::Full), Some(Bad::Full)], "info"),
        ([Some(Bad::Stuck), Some(Bad::Stuck)], "debug"),
    ];
    for (whys, filter) in table {
        let folder = tempfile::tempdir().unwrap();
        let mut readers = Vec::new();
        let streams = whys.map(|why| match why {
            None => Stdio::null(),
            Some(why) => {
                let (stream, reader) = bad(why);
                readers.extend(reader);
                stream
            }
        });
        let (mut child, address) = serve(&folder, streams, &[("RUST_LOG", filter)]);
        until("it listens", async || page(&address, "/healthz").await).await;
        for request in 0..100 {
            let answered = page(&address, "/healthz").await;
            assert!(answered.is_some(), "{whys:?} {filter}: request {request}");
        }
        let metrics = page(&address, "/metrics").await.unwrap();
        for (why, stream) in whys.into_iter().zip(["stdout", "stderr"]) {
            let line = format!("klatsch_lines_dropped_total{{stream=\"{stream}\"}} ");
            let count = metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap();
            let lost = matches!(why, Some(Bad::Full | Bad::Gone));
            assert_eq!(count != "0", lost, "{whys:?} {filter} {stream}: {count}");
        }
        signal(&child, "-TERM");
        assert_eq!(wait(&mut child).code(), Some(0), "{whys:?} {filter}");
        assert_eq!(left_behind(folder.path()), [""; 0], "{whys:?} {filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_listen_leaves_its_database_closed() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["KLATSCH_HTTP__LISTEN", "KLATSCH_COURIER__LISTEN"] {
        let (mut child, _) = serve(&folder, [Stdio::null(), Stdio::null()], &[(key, &address)]);
        assert_eq!(wait(&mut child).code(), Some(1));
        assert_eq!(left_behind(folder.path()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_takes_another_filter_and_an_unreadable_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("klatsch.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    write("[log]\nfilter = \"warn\"\n");
    // A folder that it makes itself is nobody else's, and nothing is warned of.
    let data = folder.path().join("data");
    let log = File::create(folder.path().join("log")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut child = klatsch(folder.path())
        .args(["serve", "--config", config.to_str().unwrap()])
        .env("KLATSCH_HTTP__LISTEN", &address)
        .env_remove("RUST_LOG")
        .env("KLATSCH_DATA_DIR", data)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    until("it listens", async || page(&address, "/healthz").await).await;
    assert_eq!(log_of(&folder), "");
    write("[log]\nfilter = \"warn,klatsch::cli=info,tower_http=debug\"\n");
    signal(&child, "-HUP");
    let seen = |text: &'static str| {
        let folder = &folder;
        until(text, async move || log_of(folder).contains(text).then_some(()))
    };
    seen("the log's filter is read anew").await;
    for broken in ["[log]\nfilter = \"klatsch=loud\"\n", "[log\n", "[lag]\nfilter = \"off\"\n"] {
        write(broken);
        let before = log_of(&folder).matches("the log's filter stays as it is").count();
        signal(&child, "-HUP");
        let told = async || {
            let now = log_of(&folder).matches("the log's filter stays as it is").count();
            (now > before).then_some(())
        };
        until(broken, told).await;
        let before = log_of(&folder).len();
        page(&address, "/healthz").await.unwrap();
        until("the filter that was there", async || (log_of(&folder).len() > before).then_some(()))
            .await;
    }
    std::fs::remove_file(&config).unwrap();
    let before = log_of(&folder).matches("stays as it is").count();
    signal(&child, "-HUP");
    let told = async || (log_of(&folder).matches("stays as it is").count() > before).then_some(());
    until("a file that is gone", told).await;
    signal(&child, "-TERM");
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_leaves_the_filter_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir(&config).unwrap();
    let config = config.join("klatsch.toml");
    let log = File::create(folder.path().join("log")).unwrap();
    let (mut child, address) =
        serve(&folder, [Stdio::null(), log.into()], &[("KLATSCH_LOG", "warn")]);
    until("it listens", async || page(&address, "/healthz").await).await;
    std::fs::write(&config, "[log]\nfilter = \"debug\"\n").unwrap();
    signal(&child, "-HUP");
    std::fs::write(&config, "[log\n").unwrap();
    // Two signals may become one; what is warned of has come after both.
    let told = async || {
        signal(&child, "-HUP");
        page(&address, "/healthz").await;
        log_of(&folder).contains("stays as it is").then_some(())
    };
    until("a warning", told).await;
    let log = log_of(&folder);
    assert!(log.lines().all(|line| line.contains("WARN")), "{log}");
    signal(&child, "-TERM");
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_shows_a_renewed_certificate_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let renew = || {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, signed.cert.pem()).unwrap();
        std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(signed.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        TlsConnector::from(Arc::new(config.with_no_client_auth()))
    };
    let first = renew();
    let tls = [("KLATSCH_HTTP__TLS_CERTIFICATE", &*certificate), ("KLATSCH_HTTP__TLS_KEY", &key)];
    let (mut child, address) = serve(&folder, [Stdio::null(), Stdio::null()], &tls);
    let trusts = async |connector: &TlsConnector| {
        let stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()?;
        Some(())
    };
    until("it listens", async || trusts(&first).await).await;
    let second = renew();
    let shown = async || {
        signal(&child, "-HUP");
        trusts(&second).await
    };
    until("the new certificate", shown).await;
    std::fs::write(&certificate, "nonsense").unwrap();
    signal(&child, "-HUP");
    signal(&child, "-HUP");
    trusts(&second).await.expect("what was there before is kept");
    signal(&child, "-TERM");
    assert_eq!(wait(&mut child).code(), Some(0));
}
