//! TypeScript: esbuild, where it is installed, makes one JavaScript file of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::BuildError;
pub use crate::config::compiled::is_typescript as is;

/// Where npm puts programs of a package.
const LOCAL: &str = "node_modules/.bin/esbuild";

/// The file's name as JavaScript, and its text with everything it imports.
pub fn compile(path: &Path) -> Result<(String, Vec<u8>), BuildError> {
    let failed = |message: String| BuildError::TypeScript(format!("{}: {message}", path.display()));
    let program = local(path).unwrap_or_else(|| PathBuf::from("esbuild"));
    let out = Command::new(&program)
        .arg(path)
        .args([
            "--bundle",
            "--platform=node",
            "--format=cjs",
            "--target=es2022",
            "--log-level=warning",
            "--charset=utf8",
        ])
        .args(["--external:cloudfront", "--external:aws-sdk", "--external:@aws-sdk/*"])
        .output();
    let out = out.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(
            "TypeScript needs esbuild, in this project's node_modules or on PATH: npm install --save-dev esbuild"
                .to_owned(),
        ),
        _ => failed(format!("{}: {error}", program.display())),
    })?;
    if !out.status.success() {
        return Err(failed(String::from_utf8_lossy(&out.stderr).trim().to_owned()));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok((format!("{stem}.js"), out.stdout))
}

fn local(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().map(|dir| dir.join(LOCAL)).find(|program| program.is_file())
}
