//! Bodies: how much is kept of whose, and for how long one may stop.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::{DEADLINE, ask, rest, say, status};
use crate::support::site::{Process, Site};

const LARGE: usize = 400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_needs_a_token_that_comes_early() {
    let site = Site::new();
    let ann = site.person("ann").await;
    let server = site.start().await;
    let text = "x".repeat(LARGE);
    let early = format!(r#"{{"token":"{ann}","circle_id":7,"more":"{text}"}}"#);
    let late = format!(r#"{{"more":"{text}","token":"{ann}","circle_id":7}}"#);
    let wrong = format!(r#"{{"token":"no","circle_id":7,"more":"{text}"}}"#);
    let none = json!({ "email": "a@b.c", "password": text }).to_string();
    let form = format!("username=ann&password={text}");
    let beside = format!("\r\nAuthorization: Bearer {ann}");
    let cookie = format!("\r\nCookie: neo_user_token={ann}");
    let foreign = format!("{cookie}\r\nOrigin: https://evil.example");
    let typed = "\r\nContent-Type: application/x-www-form-urlencoded";
    for (path, headers, body, wanted) in [
        ("/circle/info", "", &early, &[403, 404][..]),
        ("/circle/info", "", &late, &[413]),
        ("/circle/info", "", &wrong, &[413]),
        ("/circle/info", beside.as_str(), &late, &[403, 404]),
        ("/circle/info", cookie.as_str(), &late, &[403, 404]),
        ("/circle/info", foreign.as_str(), &late, &[413]),
        ("/account/login", "", &none, &[413]),
        ("/account/login", beside.as_str(), &none, &[413]),
        ("/account/create", "", &none, &[413]),
        ("/auth/login", "", &none, &[413]),
        ("/auth/register", "", &none, &[413]),
        ("/accounts/login/", typed, &form, &[413]),
    ] {
        let answer = ask(&server, &format!("POST {path} HTTP/1.1{headers}"), body.as_bytes()).await;
        assert!(wanted.contains(&status(&answer)), "{path}{headers}: {answer}");
        // The same without saying how much comes.
        let chunked = format!(
            "POST {path} HTTP/1.1{headers}\r\nHost: chat\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let answer = rest(&mut say(&server, chunked).await).await;
        assert!(wanted.contains(&status(&answer)), "{path}{headers}, in chunks: {answer}");
    }
}

/// Somebody who may upload, and the number of a file that is awaited.
async fn upload_of(site: &Site, server: &Process) -> (String, i64) {
    let ann = site.person("ann").await;
    let wish = json!({ "token": ann, "medias": [{ "purpose": "face", "name": "cat.png" }] });
    let answer = ask(server, "POST /media/create HTTP/1.1", wish.to_string().as_bytes()).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let made: serde_json::Value = serde_json::from_str(body).unwrap();
    (ann, made["media_list"][0]["id"].as_i64().unwrap_or_else(|| panic!("{answer}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multipart_body_that_leads_nowhere_is_ended_early() {
    let site = Site::new();
    let server = site.start().await;
    let (ann, media) = upload_of(&site, &server).await;
    site.run(&["user", "set", "ann@example.org", "--superuser"]).await;
    let part = "--B\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n";
    let before = server.memory();
    for path in [format!("/media/upload/{media}"), "/storage/smiles".to_owned()] {
        for (what, piece) in [
            ("no boundary", "x".repeat(50_000)),
            ("lines without a boundary", "--A\r\n".repeat(10_000)),
            ("a head without an end", format!("--B\r\nX-Y: {}", "x".repeat(50_000))),
            ("a part that nobody asked for", format!("{part}{}", "x".repeat(50_000))),
            ("parts without an end", format!("{part}\r\n").repeat(500)),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {ann}\r\n\
                 Content-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let mut stream = say(&server, head).await;
            let (mut reading, mut writing) = stream.split();
            let sending = async {
                // Up to 300 MiB, which must not be taken.
                for n in 0..6_000 {
                    let text = if n == 0 || what == "parts without an end" {
                        piece.clone()
                    } else {
                        "x".repeat(50_000)
                    };
                    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                    if writing.write_all(chunk.as_bytes()).await.is_err() {
                        return;
                    }
                }
                panic!("{path}, {what}: everything was taken");
            };
            let reading = async {
                let mut answer = Vec::new();
                let mut piece = [0; 4096];
                loop {
                    use tokio::io::AsyncReadExt as _;
                    match timeout(DEADLINE, reading.read(&mut piece)).await.expect("an answer") {
                        Ok(read @ 1..) => answer.extend_from_slice(&piece[..read]),
                        _ => return String::from_utf8_lossy(&answer).into_owned(),
                    }
                }
            };
            let ((), answer) = tokio::join!(sending, reading);
            assert_eq!(status(&answer), 413, "{path}, {what}: {answer}");
        }
    }
    let after = server.memory();
    assert!(after < before + (24 << 10), "{after} KiB, {before} KiB before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_in_small_and_large_pieces_still_arrives() {
    let site = Site::new();
    let server = site.start().await;
    let (ann, media) = upload_of(&site, &server).await;
    let file: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let head = b"--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
        --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cat.bin\"\r\n\r\n";
    let body = [&head[..], &file, b"\r\n--B--\r\n"].concat();
    let before = server.memory();
    let post = format!(
        "POST /media/upload/{media} HTTP/1.1\r\nAuthorization: Bearer {ann}\r\n\
         Content-Type: multipart/form-data; boundary=B"
    );
    let answer = ask(&server, &post, &body).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let after = server.memory();
    assert!(after < before + (16 << 10), "{after} KiB, {before} KiB before");
    let get = format!("{}/media/file/{media}", server.url);
    let got = reqwest::Client::new().get(get).header("authorization", &ann).send().await.unwrap();
    assert!(got.bytes().await.unwrap() == file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_or_trickles_ends() {
    let site = Site::new();
    let server = site.start().await;
    let (ann, media) = upload_of(&site, &server).await;
    let answer = ask(&server, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1", b"").await;
    let sid = answer.split_once("\"sid\":\"").unwrap().1.split('"').next().unwrap().to_owned();
    let typed = "Content-Type: application/x-www-form-urlencoded";
    let upload =
        format!("Authorization: Bearer {ann}\r\nContent-Type: multipart/form-data; boundary=B");
    let paths = [
        (format!("/socket.io/?EIO=4&transport=polling&sid={sid}"), "X-A: b"),
        ("/accounts/login/".to_owned(), typed),
        ("/account/login".to_owned(), "X-A: b"),
        ("/auth/login".to_owned(), "X-A: b"),
        (format!("/media/upload/{media}"), upload.as_str()),
    ];
    let mut open = Vec::new();
    for (path, header) in paths {
        for trickles in [false, true] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: chat\r\n{header}\r\nContent-Length: 5000\r\n\r\nx"
            );
            let mut stream = say(&server, head).await;
            let path = path.clone();
            open.push(tokio::spawn(async move {
                let (mut reading, mut writing) = stream.split();
                let trickling = async {
                    while trickles && writing.write_all(b"x").await.is_ok() {
                        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
                    }
                    std::future::pending::<()>().await;
                };
                let ending = async {
                    use tokio::io::AsyncReadExt as _;
                    let mut answer = Vec::new();
                    let _ = reading.read_to_end(&mut answer).await;
                    String::from_utf8_lossy(&answer).into_owned()
                };
                let answer = timeout(DEADLINE, async {
                    tokio::select! { answer = ending => answer, () = trickling => unreachable!() }
                });
                let answer = answer.await.unwrap_or_else(|_| panic!("{path}: still open"));
                assert!(status(&answer) >= 400, "{path}: {answer}");
            }));
        }
    }
    for one in open {
        one.await.unwrap();
    }
}
