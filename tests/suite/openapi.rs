//! The `OpenAPI` document is one that programs can work with: a generator makes a client of it, and
//! a tester that plays calls made up from it sees no status and no shape that it does not name.

use std::process::Command;
use std::time::Duration;

use crate::support::programs::{Program, node, repository, skipped};
use crate::support::server::Running;
use crate::support::site::Site;

const PATIENCE: Duration = Duration::from_mins(5);

#[test]
fn a_generated_client_calls_ten_operations() {
    let Some(mut client) = node("tests/clients/openapi/run.mjs") else { return };
    let server = Running::start();
    let told = Program::start(client.arg(&server.url)).finish(PATIENCE);
    assert!(told.contains("ok: ten operations"), "{told}");
}

/// As an administrator who has a circle, a conversation and messages, so that numbers name things.
#[tokio::test(flavor = "multi_thread")]
async fn calls_made_up_from_the_document_are_answered_as_it_says() {
    let tester = repository("tests/clients/schemathesis/.venv/bin/schemathesis");
    let (true, Some(mut client)) = (tester.exists(), node("tests/clients/openapi/run.mjs")) else {
        return skipped("calls made up from the OpenAPI document: schemathesis is not installed");
    };
    let site = Site::new().set("DATABASE__TIMEOUT", "60");
    let server = site.start().await;
    let url = server.url.clone();
    tokio::task::spawn_blocking(move || Program::start(client.arg(&url)).finish(PATIENCE))
        .await
        .unwrap();
    site.run(&["user", "set", "ann@example.org", "--superuser"]).await;
    let token = site.run(&["user", "token", "ann@example.org"]).await;
    let mut tester = Command::new(tester);
    tester
        .current_dir(site.path())
        .args(["run", &format!("{}/docs/openapi.json", server.url)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "not_a_server_error,status_code_conformance"])
        .args(["--checks", "response_schema_conformance,content_type_conformance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1"])
        .args(["--no-shrink", "--continue-on-failure"])
        // What ends the login, or the account's rights, is played without it by the others.
        .args(["--exclude-path-regex", "logout|/password|/members/|/account/modify"]);
    let told = tokio::task::spawn_blocking(move || Program::start(&mut tester).finish(PATIENCE));
    let told = told.await.unwrap();
    assert!(told.contains("Test cases:"), "{told}");
}
