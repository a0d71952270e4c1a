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

/// Whether a line that JavaScript cannot read has what TypeScript adds: a declaration of types, an annotation.
pub fn resembles(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let declares =
        ["interface ", "type ", "enum ", "declare ", "import type "].iter().any(|word| line.starts_with(word));
    declares
        || line.contains(" as const")
        || line.split(':').skip(1).any(|after| {
            let word = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            ["string", "number", "boolean", "any", "unknown", "void", "never", "object", "Record", "Promise"]
                .contains(&word)
        })
}

fn local(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().map(|dir| dir.join(LOCAL)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_typescript() {
        for (line, want) in [
            ("const x: number = 1;", true),
            ("export const handler = async (event: any) => {", true),
            ("  interface Options {", true),
            ("export type Uri = string;", true),
            ("import type { Event } from './types';", true),
            ("function f(a): Promise<void> {", true),
            ("const kinds = ['a'] as const;", true),
            ("let b = a +* 2;", false),
            ("const o = { uri: request.uri, type: 1 };", false),
            ("", false),
        ] {
            assert_eq!(resembles(line), want, "{line}");
        }
    }
}
