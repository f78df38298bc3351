//! Who may know whom: reads the sources and fails on a name that points upwards or sideways.
//!
//! Whoever changes this table changes the one in `docs/decisions/` in the same commit.

use std::path::{Path, PathBuf};

/// Each module, the modules it may name, and the foreign crates that only it and those
/// listed with them may name.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("clock", &["domain"], &[]),
    ("settings", &[], &[]),
    ("telemetry", &["settings"], &[]),
    ("domain", &[], &[]),
    ("policy", &["domain"], &[]),
    ("auth", &["domain", "settings", "clock"], &["jsonwebtoken", "argon2"]),
    ("hub", &["domain"], &[]),
    (
        "store",
        &["domain", "policy", "hub", "clock", "telemetry"],
        &["entity", "migration", "sea_orm", "sea_orm_migration", "rusqlite"],
    ),
    ("rtc", &["domain"], &["webrtc_util", "turn", "stun"]),
    (
        "service",
        &["domain", "policy", "auth", "hub", "store", "rtc", "clock", "settings", "telemetry"],
        &[],
    ),
    ("json", &[], &[]),
    ("transport", &["json"], &["axum", "socketioxide", "engineioxide", "hyper", "hyper_util"]),
    ("session", &["domain", "service", "transport", "hub", "telemetry"], &[]),
    ("wire", &["domain"], &[]),
    (
        "dialect",
        &["domain", "session", "settings", "transport", "wire", "json"],
        &["axum", "socketioxide"],
    ),
    (
        "http",
        &["domain", "service", "wire", "json", "settings", "telemetry"],
        &["axum", "tower_http", "utoipa"],
    ),
];

/// Modules above all others: they put the parts together and nobody names them but the
/// command line.
const ABOVE: &[&str] = &["app", "cli"];

#[test]
fn modules_look_down_only() {
    let mut offences = Vec::new();
    for (layer, below, crates) in LAYERS {
        for (path, source) in sources(layer) {
            for named in modules_named_in(&source) {
                let known = ABOVE.contains(&named.as_str())
                    || LAYERS.iter().any(|(other, ..)| *other == named);
                if known && named != *layer && !below.contains(&named.as_str()) {
                    offences.push(format!("{} names crate::{named}", path.display()));
                }
            }
            for foreign in LAYERS.iter().flat_map(|(.., crates)| crates.iter()) {
                if !crates.contains(foreign) && names_crate(&source, foreign) {
                    offences.push(format!("{} names {foreign}", path.display()));
                }
            }
        }
    }
    offences.sort();
    offences.dedup();
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn every_module_has_a_place_in_the_table() {
    let lib = std::fs::read_to_string(root().join("lib.rs")).unwrap();
    let missing: Vec<_> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|name| !ABOVE.contains(name) && !LAYERS.iter().any(|(layer, ..)| layer == name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_reader_of_sources_sees_every_way_to_name_a_module() {
    let source = "use crate::{hub::Hub, store::{Store, log::Log}};\nfn f(a: crate::auth::Auth) {}";
    assert_eq!(modules_named_in(source), ["hub", "store", "auth"]);
    assert!(names_crate("use axum::Router;", "axum"));
    assert!(names_crate("    axum::serve()", "axum"));
    assert!(!names_crate("use my_axum::Router; // like axum", "axum"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A module's files, without comments and without what stands behind the tests' mark.
fn sources(layer: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let roots = [root().join(layer), root().join(format!("{layer}.rs"))];
    let mut waiting: Vec<_> = roots.into_iter().filter(|path| path.exists()).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: Vec<_> =
                code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            found.push((path, code.join("\n")));
        }
    }
    assert!(!found.is_empty(), "{layer} has no sources");
    found
}

/// The first words behind `crate::`, those of a group included.
fn modules_named_in(source: &str) -> Vec<String> {
    let mut named = Vec::new();
    for rest in source.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            named.push(word);
        } else {
            named.push(rest.to_owned());
        }
    }
    named
        .into_iter()
        .map(|text| {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

fn names_crate(source: &str, name: &str) -> bool {
    source.match_indices(&format!("{name}::")).any(|(index, _)| {
        let before = source[..index].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}
