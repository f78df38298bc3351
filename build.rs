//! Makes the folder that is embedded in the server, so that it builds on a machine without Node as well.

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=web/dist");
    std::fs::create_dir_all("web/dist")
}
