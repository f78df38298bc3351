//! Places: how many connections and sessions there are at once, and how many of one address.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{DEADLINE, ask, host, rest, say, status};
use crate::support::site::{Process, Site};

const HANDSHAKE: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1";

fn sid(answer: &str) -> String {
    let (_, rest) = answer.split_once("\"sid\":\"").expect("a session");
    rest.split('"').next().unwrap().to_owned()
}

/// Reads one answer, its body included if its length is told; the head.
async fn head(stream: &mut TcpStream) -> String {
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        head
    };
    timeout(DEADLINE, reading).await.expect("an answer in time")
}

async fn is_well(server: &Process) {
    for path in ["/healthz", "/readyz"] {
        let answer = ask(server, &format!("GET {path} HTTP/1.1"), b"").await;
        assert_eq!(status(&answer), 200, "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_by_polling_have_places_like_connections() {
    for (share, refusal) in [(0, 429), (50, 503), (7, 429)] {
        let site = Site::new()
            .set("LIMITS__CONNECTIONS", "50")
            .set("LIMITS__CONNECTIONS_PER_ADDRESS", share.to_string());
        let server = site.start().await;
        let most = if share == 0 { 25 } else { share };
        let before = server.memory();
        let mut living = Vec::new();
        for _ in 0..1_000 {
            let answer = ask(&server, HANDSHAKE, b"").await;
            match status(&answer) {
                200 => living.push(sid(&answer)),
                other => {
                    assert_eq!(other, refusal, "{answer}");
                    assert!(answer.to_lowercase().contains("\r\nretry-after: "), "{answer}");
                }
            }
        }
        assert_eq!(living.len(), most);
        let after = server.memory();
        assert!(after < before + (16 << 10), "{after} KiB, {before} KiB before");
        is_well(&server).await;
        // Who is in stays in.
        for sid in &living[..3] {
            let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
            let posted = ask(&server, &format!("POST {path} HTTP/1.1"), b"40").await;
            assert_eq!(status(&posted), 200, "{posted}");
            // A ping may have been due before.
            let mut polled = String::new();
            while !polled.contains("40{\"sid\"") {
                polled = ask(&server, &format!("GET {path} HTTP/1.1"), b"").await;
                assert_eq!(status(&polled), 200, "{polled}");
            }
            let path = path.replace("polling", "websocket");
            let upgrade = format!(
                "GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            );
            assert_eq!(status(&head(&mut say(&server, upgrade).await).await), 101);
        }
        // A session that has gone leaves its place.
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", living[5]);
        // One that never connected to a namespace would keep it for half a minute.
        for packet in [b"40", &b"1"[..]] {
            let post = format!("POST {path} HTTP/1.1");
            assert_eq!(status(&ask(&server, &post, packet).await), 200);
        }
        let again = async {
            while status(&ask(&server, HANDSHAKE, b"").await) != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, again).await.expect("a place");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_begins_no_more_sessions_than_there_are_places() {
    let site = Site::new().set("LIMITS__CONNECTIONS", "20");
    let server = site.start().await;
    let mut stream = TcpStream::connect(host(&server)).await.unwrap();
    let mut begun = 0;
    loop {
        stream.write_all(format!("{HANDSHAKE}\r\nHost: chat\r\n\r\n").as_bytes()).await.unwrap();
        let answer = head(&mut stream).await;
        if status(&answer) != 200 {
            assert_eq!(status(&answer), 429);
            break;
        }
        begun += 1;
    }
    assert_eq!(begun, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_stand_still_do_not_hide_that_the_server_is_well() {
    let site = Site::new().set("LIMITS__CONNECTIONS", "60");
    let server = site.start().await;
    let half = "POST /account/login HTTP/1.1\r\nHost: chat\r\nContent-Length: 500\r\n\r\n{\"em";
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(say(&server, half).await);
    }
    // And those who do not even say what they want.
    for _ in 0..400 {
        open.push(say(&server, "").await);
        open.push(say(&server, "GET /hea").await);
    }
    for _ in 0..5 {
        is_well(&server).await;
        assert_eq!(status(&ask(&server, "GET /docs HTTP/1.1", b"").await), 429);
    }
    drop(open);
    let again = async {
        while status(&ask(&server, "GET /docs HTTP/1.1", b"").await) != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, again).await.expect("places");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_the_client_s_address_counts() {
    let site = Site::new()
        .set("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")
        .set("LIMITS__CONNECTIONS", "50")
        .set("LIMITS__CONNECTIONS_PER_ADDRESS", "3");
    let server = site.start().await;
    // Of the third version, whose sessions are connected from the start and end at once.
    let upgrade = |client: &str| {
        format!(
            "GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: chat\r\n\
             X-Forwarded-For: {client}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
    };
    let mut open = Vec::new();
    for (client, wanted) in [
        ("203.0.113.1", 101),
        ("203.0.113.1", 101),
        ("203.0.113.1", 101),
        ("203.0.113.1", 429),
        ("203.0.113.2", 101),
        ("2001:db8:0:1::1", 101),
        ("2001:db8:0:1::2", 101),
        ("2001:db8:0:1:3::", 101),
        ("2001:db8:0:1::4", 429),
        ("2001:db8:0:2::1", 101),
    ] {
        let mut stream = say(&server, upgrade(client)).await;
        assert_eq!(status(&head(&mut stream).await), wanted, "{client}");
        open.push(stream);
    }
    // One connection of the proxy's carries many clients, and a request counts while it lasts.
    let mut proxy = TcpStream::connect(host(&server)).await.unwrap();
    for n in 0..100 {
        let client = if n % 2 == 0 { "203.0.113.2".to_owned() } else { format!("198.51.100.{n}") };
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: chat\r\nX-Forwarded-For: {client}\r\n\r\n");
        proxy.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut proxy).await), 200);
    }
    let mut refused =
        say(&server, "GET /docs HTTP/1.1\r\nHost: chat\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n")
            .await;
    assert_eq!(status(&rest(&mut refused).await), 429);
    drop(open);
    let again = async {
        loop {
            let mut stream = say(&server, upgrade("203.0.113.1")).await;
            if status(&head(&mut stream).await) == 101 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, again).await.expect("a place");
}

/// Where the relay listens.
async fn with_relay(site: &Site) -> (Process, SocketAddr) {
    let mut child = site.spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut http, mut turn) = (None, None);
    while http.is_none() || turn.is_none() {
        let line = timeout(DEADLINE, lines.next_line()).await.expect("a line").unwrap().unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap_or_default().to_owned();
        match said["part"].as_str() {
            Some("http") => http = Some(url),
            Some("turn") => turn = Some(url.trim_start_matches("turn:").parse().unwrap()),
            _ => {}
        }
    }
    (Process::of(child, http.unwrap()), turn.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_to_the_relay_count_for_their_address() {
    let site = Site::new()
        .set("TURN__LISTEN", "127.0.0.1:0")
        .set("LIMITS__CONNECTIONS", "100")
        .set("LIMITS__CONNECTIONS_PER_ADDRESS", "40");
    let (server, turn) = with_relay(&site).await;
    let from = async |last: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(turn).await.unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = from(1).await;
        let _ = stream.write_all(&[0]).await;
        open.push(stream);
    }
    let bound = async |stream: &mut TcpStream| {
        let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        let _ = stream.write_all(&request).await;
        let mut answer = [0; 20];
        let read = timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("an end");
        read.is_ok() && answer[..2] == [1, 1]
    };
    // All others are served, by the relay and by HTTP, and the address itself is told.
    for last in 2..10 {
        assert!(bound(&mut from(last).await).await, "127.0.0.{last}");
    }
    assert!(!bound(&mut from(1).await).await);
    is_well(&server).await;
    assert_eq!(status(&ask(&server, "GET /docs HTTP/1.1", b"").await), 429);
    // A byte is no sign of life.
    for stream in &mut open {
        rest(stream).await;
    }
    assert!(bound(&mut from(1).await).await);
}
