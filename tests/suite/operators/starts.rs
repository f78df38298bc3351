//! Settings that would start and never work stop the start, with a sentence.

use std::process::{Command, Output};

use crate::support::server::klatsch;

fn run(word: &str, settings: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = klatsch(folder.path());
    let output = command.arg(word).envs(settings.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn what_cannot_work_is_refused_by_serve_and_check_alike() {
    let table: &[(&str, &str, &str)] = &[
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "http://localhost:*", "http.allowed_origins"),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "https://*.example.org", "http.allowed_origins"),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "localhost:3000", "http.allowed_origins"),
        ("KLATSCH_COURIER__ALLOWED_ORIGINS", "https://a.example/x", "courier.allowed_origins"),
        ("KLATSCH_PRIVATE_CHAT__ALLOWED_ORIGINS", "*:*", "private_chat.allowed_origins"),
        ("KLATSCH_AUTH__TOKEN_SECRET", "a", "auth.token_secret"),
        ("KLATSCH_TURN__SECRET", "north", "turn.secret"),
        ("KLATSCH_NEO__PING_INTERVAL", "2147483", "neo.ping_interval"),
        ("KLATSCH_NEO__PING_TIMEOUT", "2147483", "neo.ping_timeout"),
    ];
    for (name, value, key) in table {
        for word in ["serve", "check"] {
            let (output, said) = run(word, &[(name, value)]);
            assert!(!output.status.success() && output.stdout.is_empty(), "{word} {name}={value}");
            assert!(said.contains(key) && said.contains(name), "{said}");
            // A secret is not repeated, not even a bad one.
            assert!(!said.contains("north"), "{said}");
        }
    }
}

#[test]
fn what_works_passes_check() {
    for (name, value) in [
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "capacitor://localhost,ionic://localhost,app://.,null"),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "*"),
        ("KLATSCH_HTTP__ALLOWED_ORIGINS", "http://[::1]:3000,file://"),
        ("KLATSCH_AUTH__TOKEN_SECRET", "0123456789abcdef0123456789abcdef"),
        ("KLATSCH_TURN__SECRET", "0123456789abcdef0123456789abcdef"),
        ("KLATSCH_NEO__PING_INTERVAL", "2147423"),
    ] {
        let (output, said) = run("check", &[(name, value)]);
        assert!(output.status.success(), "{name}={value}: {said}");
    }
}
