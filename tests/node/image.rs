//! The image that `make image` leaves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command;
use crate::node::root;

/// The tag of the image under test, and of the "new version" of upgrades.
pub(crate) const TAG: &str = "dev";
pub(crate) const NEXT_TAG: &str = "next";

/// The archive that the node imports.
pub(crate) fn archive() -> PathBuf {
    let image = root().join("target/image/probekeeper.tar");
    assert!(image.exists(), "{} is missing: run make image", image.display());
    image
}

/// An archive of the next version in this folder: the same program in an image of another digest.
pub(crate) fn next_archive(dir: &Path) -> PathBuf {
    let (unpacked, archive) = (dir.join("unpacked"), dir.join("next.tar"));
    std::fs::create_dir_all(&unpacked).expect("folder");
    let mut build = Command::new(root().join("scripts/image.sh"));
    build.arg("--bin").arg(unpacked_binary(&unpacked)).arg("--output").arg(&archive);
    build.args(["--tag", &format!("localhost/probekeeper:{NEXT_TAG}")]);
    // Other times of files, hence other layers.
    command::run(build.env("SOURCE_DATE_EPOCH", "86400"), "").ok();
    archive
}

#[test]
#[ignore = "needs an image: make node-test"]
fn the_same_binary_gives_the_same_bytes() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let binary = unpacked_binary(dir.path());
    let again = dir.path().join("again.tar");
    let mut build = Command::new(root().join("scripts/image.sh"));
    build.arg("--bin").arg(&binary).arg("--output").arg(&again);
    // Neither the time nor the order of files on disk nor the builder's mask may show.
    let output = command::run(build.env_remove("SOURCE_DATE_EPOCH"), "").ok();
    println!("{}", output.stdout);
    assert!(std::fs::read(&again).expect("archive") == std::fs::read(archive()).expect("archive"), "the archives differ");
}

#[test]
#[ignore = "needs an image: make node-test"]
fn it_has_what_the_dockerfile_says_and_no_path_of_this_machine() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).expect("Dockerfile");
    let last =
        |instruction: &str| dockerfile.lines().rev().find_map(|line| line.strip_prefix(instruction)).expect(instruction).trim();
    let manifest: Value = serde_json::from_str(&tar(&["-xOf"], &["manifest.json"])).expect("manifest.json");
    assert_eq!(manifest[0]["RepoTags"][0], "localhost/probekeeper:dev");
    let config: Value =
        serde_json::from_str(&tar(&["-xOf"], &[manifest[0]["Config"].as_str().expect("Config")])).expect("configuration");
    assert_eq!(config["config"]["Entrypoint"], serde_json::from_str::<Value>(last("ENTRYPOINT")).expect("a JSON list"));
    assert_eq!(config["config"]["Cmd"], serde_json::from_str::<Value>(last("CMD")).expect("a JSON list"));
    assert_eq!(config["config"]["User"], last("USER"));
    let ports: BTreeSet<String> = last("EXPOSE").split(' ').map(|port| format!("{port}/tcp")).collect();
    assert_eq!(config["config"]["ExposedPorts"].as_object().expect("ports").keys().cloned().collect::<BTreeSet<_>>(), ports);
    let labels = config["config"]["Labels"].as_object().expect("labels");
    assert!(labels.keys().all(|label| dockerfile.contains(&format!("{label}="))), "{labels:?}");
    // Nothing but the program is on top of the base, where Dockerfile installs it, and everybody may run it.
    let listed = command::run(Command::new("tar").args(["-tvf"]).arg(top_layer(dir.path())), "").ok().stdout;
    let files: Vec<&str> = listed.lines().filter(|line| !line.starts_with('d')).collect();
    assert!(
        files.len() == 1 && files[0].starts_with("-rwxr-xr-x 0/0") && files[0].ends_with("./usr/local/bin/probekeeper"),
        "{listed}"
    );
    assert!(dockerfile.contains("/out/usr/local/bin/probekeeper") && dockerfile.contains("COPY --from=build /out/ /\n"));

    let binary = std::fs::read(unpacked_binary(dir.path())).expect("binary");
    let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").expect("HOME")));
    for path in [home.as_str(), root().to_str().expect("UTF-8")] {
        let leaks = binary.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(!leaks, "the binary names {path}");
    }
}

/// The program in the image's last layer, as a file below `dir`.
fn unpacked_binary(dir: &Path) -> PathBuf {
    let layer = top_layer(dir);
    command::run(Command::new("tar").arg("-C").arg(dir).arg("-xf").arg(layer), "").ok();
    dir.join("usr/local/bin/probekeeper")
}

/// The image's last layer, an archive below `dir`.
fn top_layer(dir: &Path) -> PathBuf {
    let manifest: Value = serde_json::from_str(&tar(&["-xOf"], &["manifest.json"])).expect("manifest.json");
    let layers = manifest[0]["Layers"].as_array().expect("Layers");
    let layer = layers.last().and_then(Value::as_str).expect("a layer");
    let dir = dir.to_str().expect("UTF-8");
    tar(&["-C", dir, "-xf"], &[layer]);
    PathBuf::from(format!("{dir}/{layer}"))
}

fn tar(options: &[&str], members: &[&str]) -> String {
    command::run(Command::new("tar").args(options).arg(archive()).args(members), "").ok().stdout
}
