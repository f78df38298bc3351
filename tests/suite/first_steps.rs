//! What a newcomer does first: the README's two programs, and the page in a browser.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::programs::{Program, node, repository, skipped};
use crate::support::server::Running;

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let shown: Vec<_> = readme.split("<!-- file:").skip(1).collect();
    assert_eq!(shown.len(), 2, "the README shows two files");
    for part in shown {
        let (path, rest) = part.split_once(" -->\n").unwrap();
        let code = rest.split_once('\n').unwrap().1.split("\n```").next().unwrap();
        let file = std::fs::read_to_string(repository(path)).unwrap();
        assert_eq!(code, file.trim_end(), "{path} differs from what the README shows");
    }
}

#[test]
fn the_first_conversation_of_the_readme_really_happens() {
    let server = Running::start();
    let script = repository("examples/first-conversation.sh");
    let mut curl = Command::new("bash");
    let told = Program::start(curl.arg(script).arg(&server.url)).finish(PATIENCE);
    assert!(
        told.contains(r#""content":"Coffee?""#),
        "Bob does not read the first message:\n{told}"
    );

    let line = told.lines().last().unwrap();
    let (_, arguments) =
        line.split_once("first-conversation.mjs ").expect("the next step is named");
    let Some(mut bob) = node("examples/first-conversation.mjs") else { return };
    let told = Program::start(bob.args(arguments.split(' '))).finish(PATIENCE);
    assert!(told.contains("Bob: With cake!"), "{told}");
}

#[test]
fn two_people_use_the_page_in_a_real_browser() {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&browser).exists() {
        return skipped("the page, for want of Chromium");
    }
    if !repository("web/dist/index.html").exists() {
        return skipped("the page, which is not built");
    }
    let Some(mut script) = node("tests/browser/page.mjs") else { return };
    let server = Running::start();
    let told = Program::start(script.arg(&server.url)).finish(3 * PATIENCE);
    assert!(told.contains("ok: the page works for two people"), "{told}");
}
