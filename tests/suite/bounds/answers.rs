//! Answers that come before the question was heard to its end.

use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{DEADLINE, host, status};
use crate::support::programs::skipped;
use crate::support::site::{Process, Site};

/// Posts of each client.
const POSTS: usize = 30;

/// Sends everything before it reads anything, as many clients do.
async fn post(server: &Process, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(host(server)).await.unwrap();
    let head = format!(
        "{head}\r\nHost: chat\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap_or_else(|error| panic!("{head}: {error}"));
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the end in time");
    read.unwrap_or_else(|error| panic!("{head}: {error}"));
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_whoever_sends_on() {
    let site = Site::new().set("LIMITS__UPLOAD_BYTES", "1000").set("LIMITS__BODY_BYTES", "100000");
    let ann = site.person("ann").await;
    let server = site.start().await;
    let bearer = format!("Authorization: Bearer {ann}");
    let form = "Content-Type: multipart/form-data; boundary=B";
    let body = vec![b'x'; 5 << 20];
    for (path, header, wanted) in [
        ("/media/upload/1", form, 401),
        ("/media/upload/1", bearer.as_str(), 404),
        ("/storage/smiles", form, 401),
        ("/storage/smiles", bearer.as_str(), 403),
        ("/account/login", "X-A: b", 413),
        ("/auth/login", "X-A: b", 413),
        ("/nothing", "X-A: b", 404),
        ("/healthz", "X-A: b", 405),
        ("/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", "X-A: b", 400),
        ("/courier", "X-A: b", 426),
        ("/members/chat/", "X-A: b", 405),
    ] {
        for size in [60_000, body.len()] {
            let head = format!("POST {path} HTTP/1.1\r\n{header}");
            let answer = post(&server, &head, &body[..size]).await;
            let found = status(&answer);
            let fits = found == wanted
                || [400, 404, 405, 413, 426].contains(&wanted) && (400..500).contains(&found);
            assert!(fits, "{path} {header}: {answer}");
            let (head, text) = answer.split_once("\r\n\r\n").unwrap();
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            if let Some(length) = length {
                assert_eq!(text.len().to_string(), length, "{path}: {answer}");
            }
            if size == body.len() {
                assert!(head.to_lowercase().contains("connection: close"), "{path}: {head}");
            }
        }
    }
}

const FETCH: &str = r#"
const [url, posts] = [process.argv[1], Number(process.argv[2])];
let heard = 0;
for (let n = 0; n < posts; n++) {
    const form = new FormData();
    form.append("file", new Blob([new Uint8Array(60000)]), "cat.png");
    const answer = await fetch(url, { method: "POST", body: form });
    await answer.text();
    if (answer.status === 401) heard++;
}
console.log(`heard ${heard}`);
"#;

const HTTP_CLIENT: &str = r#"
import http.client, sys, urllib.parse
url, posts = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
heard = 0
for n in range(posts):
    link = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    link.request("POST", url.path, body=b"x" * (3 << 20), headers={"Content-Type": "multipart/form-data; boundary=B"})
    answer = link.getresponse()
    answer.read()
    heard += answer.status == 401
print("heard", heard)
"#;

const CURL: &str = r#"
heard=0
head -c 3000000 /dev/zero > body
for n in $(seq "$2"); do
    code=$(curl -s -o /dev/null -w '%{http_code}' -F file=@body "$1") || true
    [ "$code" = 401 ] && heard=$((heard + 1))
    code=$(curl -s -o /dev/null -w '%{http_code}' -H 'Expect:' -F file=@body "$1") || true
    [ "$code" = 401 ] || heard=0
done
echo "heard $heard"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_real_clients() {
    let site = Site::new();
    let server = site.start().await;
    let url = format!("{}/media/upload/1", server.url);
    for (program, words) in [
        ("node", &["--input-type=module", "-e", FETCH][..]),
        ("python3", &["-c", HTTP_CLIENT]),
        ("bash", &["-c", CURL, "curl"]),
    ] {
        let mut command = Command::new(program);
        command.args(words).arg(&url).arg(POSTS.to_string()).current_dir(site.path());
        let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let Ok(done) = done else {
            skipped(&format!("{program} is not installed"));
            continue;
        };
        let said = String::from_utf8_lossy(&done.stdout);
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert_eq!(said.trim(), format!("heard {POSTS}"), "{program}: {complaint}");
    }
}
