//! Tools: the other signers, fetched once.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

const ROOT: &str = env!("CARGO_TARGET_TMPDIR");

/// A Python that has botocore.
pub fn python() -> PathBuf {
    let venv = Path::new(ROOT).join("signers-python");
    let python = venv.join("bin/python");
    if !venv.join("ready").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "botocore", "cryptography"]));
        std::fs::write(venv.join("ready"), "").unwrap();
    }
    python
}

/// A folder of Node modules that has the SDK's signer, as a module in it would be named.
pub fn modules() -> PathBuf {
    let folder = Path::new(ROOT).join("signers-node");
    if !folder.join("ready").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("package.json"), "{}").unwrap();
        done(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "@aws-sdk/cloudfront-signer"])
                .current_dir(&folder),
        );
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder.join("module.cjs")
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signed").join(name)
}

/// Gives `input` to the command; reads JSON from it.
pub fn ask<T: DeserializeOwned>(command: &mut Command, input: &serde_json::Value) -> T {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn done(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}
