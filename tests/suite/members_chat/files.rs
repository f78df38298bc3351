//! Binary frames: where the JSON ends, which checks come first, and what is served.

use serde_json::json;

use super::{Town, file, id, text, undated};

/// Conformance check 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parser_decides_where_the_head_ends() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let deep =
        format!(r#"{{"text":"deep","x":{}1{},"n":1e999}}"#, "[".repeat(999), "]".repeat(999));
    let table: [(&str, &[u8], &str); 13] = [
        (
            r#"{"name": "cat #1.png", "size": 11, "type": "image/png", "text": "look"}"#,
            b"hello world",
            "look",
        ),
        (r##"{"text":"#}\"{"}"##, b"x", "#}\"{"),
        (r#"{"text":"\u0023"}"#, b"x", "#"),
        (r#"{"name":"котик.png","text":"мяу"}"#, b"x", "мяу"),
        ("{}", b"#", ""),
        ("{}", b"{\"a\":1}#", ""),
        ("{}", b" \t\r\n", ""),
        ("{}", b"\0\xff\xfe", ""),
        (" {\"text\":\"a\"} \t\r\n", b"#!", "a"),
        (r#"{"text":"","unknown":[{"deep":{}}]}"#, b"x", ""),
        (r#"{"text":"a","text":"b"}"#, b"x", "b"),
        (r#"{"text":"a","unknown":"\ud800#"}"#, b"x", "a"),
        (&deep, b"x", "deep"),
    ];
    for (head, bytes, words) in table {
        a.send_bytes(file(head, bytes)).await;
        let echo = a.json().await;
        assert_eq!((&echo["type"], text(&echo)), (&json!("file"), words), "{head}");
        assert_eq!(b.json().await, echo);
        let keys = ["id", "member_id", "chat_id", "date", "type", "file_uuid", "text"];
        let found: Vec<_> = echo.as_object().unwrap().keys().collect();
        assert_eq!(found.len(), keys.len(), "{found:?}");
        assert!(keys.iter().all(|key| echo.get(key).is_some()));
        let (status, _, stored) = town.fetch(&echo["file_uuid"]).await;
        assert_eq!((status, stored.as_slice()), (200, bytes), "{head}");
    }
}

/// Conformance checks 4 and 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_frame_has_its_error_and_the_socket_goes_on() {
    let town = Town::with(|settings| {
        settings.members_chat.allowed_file_types = vec!["image/png".into(), "text/plain".into()];
        settings.members_chat.max_file_bytes = const { std::num::NonZeroUsize::new(20).unwrap() };
    })
    .await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let before = town.balance(&ann).await;
    let bad = "bad_file_frame";
    let png = r#"{"type":"image/png"}"#;
    let long = format!(r#"{{"type":"image/png","text":"{}"}}"#, "x".repeat(8193));
    let wide = format!(r#"{{"type":"image/png","x":"{}"}}"#, "x".repeat(65_536));
    let table: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), bad),
        (b"!".to_vec(), bad),
        (b"hello".to_vec(), bad),
        (b"!#".to_vec(), bad),
        (b"!{}".to_vec(), bad),
        (b"!{} x#y".to_vec(), bad),
        (b"!{#y".to_vec(), bad),
        (b"![]#y".to_vec(), bad),
        (b"!\"a\"#y".to_vec(), bad),
        (b"!null#y".to_vec(), bad),
        (b"!1#y".to_vec(), bad),
        (b"!{\"text\":\"\xff\"}#y".to_vec(), bad),
        (file(r#"{"name":5}"#, b"y"), bad),
        (file(r#"{"size":"1"}"#, b"y"), bad),
        (file(r#"{"size":-1}"#, b"y"), bad),
        (file(r#"{"size":1.5}"#, b"y"), bad),
        (file(r#"{"size":1e300}"#, b"y"), bad),
        (file(r#"{"type":[]}"#, b"y"), bad),
        (file(r#"{"text":{}}"#, b"y"), bad),
        (file(r#"{"client_ref":""}"#, b"y"), bad),
        (file(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), b"y"), bad),
        (file(&wide, b"y"), bad),
        (file(png, &[7; 21]), "file_too_large"),
        (file(r#"{"type":"image/png","size":3}"#, b"y"), "file_size_mismatch"),
        (file(png, b""), "empty_file"),
        (file(&long, b"y"), "text_too_long"),
        (file(r#"{"type":"text/html"}"#, b"y"), "file_type_not_allowed"),
        (file("{}", b"y"), "file_type_not_allowed"),
        // The first failure counts.
        (file(r#"{"type":"text/html","size":3}"#, &[7; 21]), "file_too_large"),
        (file(r#"{"type":"text/html","size":3}"#, b""), "file_size_mismatch"),
        (file(r#"{"type":"text/html"}"#, b""), "empty_file"),
    ];
    for (frame, code) in table {
        let shown = String::from_utf8_lossy(&frame[..frame.len().min(60)]).into_owned();
        a.send_bytes(frame).await;
        let error = a.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{shown}");
        assert!(error["error"].is_string());
        match code {
            "file_too_large" => assert_eq!(error["limit"], 20),
            "file_size_mismatch" => {
                assert_eq!(error["declared"], 3);
                assert!(error["received"].is_number());
            }
            "text_too_long" => assert_eq!(error["limit"], 8192),
            _ => assert_eq!(error.as_object().unwrap().len(), 3, "{error}"),
        }
        a.send("still here").await;
        assert_eq!(text(&a.json().await), "still here");
        assert_eq!(text(&b.json().await), "still here");
    }
    assert_eq!((before - town.balance(&ann).await) % 5, 0);
    let named = r#"{"type":"image/png","client_ref":"r1"}"#;
    a.send_bytes(file(named, &[7; 21])).await;
    assert_eq!(a.json().await["client_ref"], "r1");
    a.send_bytes(file(png, &[7; 20])).await;
    assert_eq!(a.json().await["type"], "file");
}

/// Conformance check 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_million_bytes_are_taken_and_one_more_is_refused() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    let bytes: Vec<u8> = (0..5_000_001_u32).map(|number| (number % 251) as u8).collect();
    a.send_bytes(file("{}", &bytes)).await;
    let error = a.json().await;
    assert_eq!((&error["code"], &error["limit"]), (&json!("file_too_large"), &json!(5_000_000)));
    a.send_bytes(file("{}", &bytes[..5_000_000])).await;
    let echo = a.json().await;
    let (_, mime, stored) = town.fetch(&echo["file_uuid"]).await;
    assert_eq!(mime, "application/octet-stream");
    assert!(stored == bytes[..5_000_000]);
}

/// Conformance check 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_17_mebibytes_is_answered_and_ends_the_connection() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    a.send_bytes(file("{}", &vec![7; 17 << 20])).await;
    let error = a.json().await;
    assert_eq!((&error["code"], &error["limit"]), (&json!("file_too_large"), &json!(5_000_000)));
    assert_eq!(a.closed().await.0, 1009);
    let (_, history) = town.open_with(&ann, &bob, "").await;
    assert!(history.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_types_are_served_so_that_nothing_of_them_runs() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    for (declared, served, disposition) in [
        ("image/png", "image/png", "inline"),
        ("video/mp4", "video/mp4", "inline"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("text/html", "text/html", "attachment"),
        ("nonsense", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
    ] {
        let head = json!({ "name": "../ü\"x.png", "type": declared }).to_string();
        a.send_bytes(file(&head, b"0123456789")).await;
        let uuid = a.json().await["file_uuid"].as_str().unwrap().to_owned();
        let url = format!("{}/storage/?uuid={}", town.world.url(), uuid.to_uppercase());
        let answer = town.http.get(&url).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), header("content-type").as_str()), (200, served));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(header("cache-control"), "private, max-age=31536000, immutable");
        assert_eq!(header("content-length"), "10");
        let shown = header("content-disposition");
        assert!(shown.starts_with(disposition) && shown.contains("filename=\""), "{shown}");
        assert!(shown.contains("filename*=UTF-8''%C3%BC%22x%2Epng"), "{shown}");
        let tag = header("etag");
        let known = town.http.get(&url).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(known.status(), 304);
        let part = town.http.get(&url).header("range", "bytes=2-4").send().await.unwrap();
        assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
        assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "234"));
        let none = town.http.get(&url).header("range", "bytes=20-").send().await.unwrap();
        assert_eq!(
            (none.status().as_u16(), &none.headers()["content-range"]),
            (416, &"bytes */10".parse().unwrap())
        );
        let head = town.http.head(&url).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-length"]),
            (200, &"10".parse().unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sent_again_under_its_reference_is_stored_once() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let frame = file(r#"{"client_ref":"f1","text":"once"}"#, b"bytes");
    a.send_bytes(frame.clone()).await;
    let first = a.json().await;
    assert_eq!(first["client_ref"], "f1");
    let seen = b.json().await;
    assert!(seen.get("client_ref").is_none(), "{seen}");
    let balance = town.balance(&ann).await;
    a.vanish();
    let (mut a, history) = town.open_with(&ann, &bob, "").await;
    assert_eq!(history, std::slice::from_ref(&seen));
    a.send_bytes(frame).await;
    assert_eq!(a.json().await, first);
    b.reads_nothing().await;
    assert_eq!(town.balance(&ann).await, balance);
    assert_eq!(undated(seen.clone())["id"], id(&seen));
    assert_eq!(town.fetch(&first["file_uuid"]).await.2, b"bytes");
}
