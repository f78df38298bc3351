//! Data folders: of every name, and for their owner alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_lies_in_the_folder_that_was_named() {
    for name in
        ["a%20b", "a b ", "100%", "a?mode=memory", "a#b", "file:a?b", ":memory:", "Kätzchen"]
    {
        let site = Site::new().set("DATA_DIR", name);
        site.run(&["user", "add", "ann@example.org"]).await;
        let found: Vec<_> =
            fs::read_dir(site.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(found, [name], "{name}");
        assert!(site.path().join(name).join("klatsch.db").is_file(), "{name}");
        // The same folder is found again, by a command that makes nothing.
        let checked: Value = serde_json::from_str(&site.run(&["check", "--json"]).await).unwrap();
        assert_eq!(checked["database"]["state"], "up to date", "{name}: {checked}");
        assert!(site.run(&["user", "list"]).await.contains("ann@example.org"), "{name}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let inside = if path.is_dir() { below(&path) } else { Vec::new() };
            std::iter::once(path).chain(inside)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_in_an_open_folder_is_closed() {
    let site = Site::new();
    let folder = site.path().join("data");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let server = site.start_within("umask 0; exec \"$0\" serve").await;
    site.person("ann").await;
    let open: Vec<_> = below(&folder).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
    assert_eq!(open, Vec::<PathBuf>::new());
    assert!(folder.join("klatsch.db-wal").exists(), "the server writes beside the database");
    server.terminate();
    assert!(server.ended().await.success());

    let warnings = |said: String| serde_json::from_str::<Value>(&said).unwrap()["warnings"].clone();
    let told = warnings(site.run(&["check", "--json"]).await).to_string();
    assert!(told.contains("others may enter the data folder"), "{told}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(warnings(site.run(&["check", "--json"]).await), serde_json::json!([]));
    // As an older version has left it.
    fs::set_permissions(folder.join("klatsch.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let told = warnings(site.run(&["check", "--json"]).await).to_string();
    assert!(told.contains("others may read the database"), "{told}");
}
