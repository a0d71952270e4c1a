//! Layering: imports go one way, files stay small, dangerous words stay in their room.
//!
//! In: the text of `src/`. Out: every line that breaks the design. Never: a compiler; a page of grep is enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A room may import only rooms of a lower level; rooms of one level never import each other.
const LEVELS: &[&[&str]] = &[
    &["vtl"],
    &["config", "crypto", "durable", "message", "public"],
    &["geo", "observe"],
    &["access", "limit", "hooks", "cache", "origin", "behavior", "listen", "route"],
    &["dynamo"],
    &["lambda"],
    &["fleet"],
    &["integration"],
    &["proxy"],
    &["admin"],
    &["cli"],
];

/// Where Pingora may be named: its every minor breaks its API, so that a new one touches these and nothing else.
const PINGORA: &[&str] = &["proxy", "listen", "origin", "cli", "cache/store", "limit/heavy"];

/// Lines a file may have, its tests included.
const LONGEST: usize = 500;

/// The file that maps compiled functions, the only one that may be unsafe.
const UNSAFE: &str = "hooks/engine/artifact.rs";

/// Where wasmtime may be named.
const WASMTIME: &[&str] = &["hooks/engine/", "hooks/build/"];

fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 3, "found the sources");
    found
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&room))
}

/// The lines of a file that are code: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Every name that follows `crate::`, also within braces: `use crate::{cache, config::compiled}`.
fn imports(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for item in list {
            let name: String = item.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let own = room(&file);
        let Some(own_level) = level(own) else {
            if !matches!(own, "main" | "lib") {
                wrong.push(format!("src/{file}: {own} is no room of LEVELS"));
            }
            continue;
        };
        for (n, line) in code(&text) {
            for name in imports(line) {
                let Some(other) = level(&name) else { continue };
                if name != own && other >= own_level {
                    wrong.push(format!("src/{file}:{n}: {own} must not import {name}: {}", line.trim()));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn files_say_what_they_decide_and_stay_small() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("src/{file}: does not begin with `//! `"));
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("src/{file}: {lines} lines"));
        }
    }
    report(&wrong);
}

#[test]
fn nothing_is_unsafe_but_mapping_code() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if file == UNSAFE {
            continue;
        }
        for (n, line) in code(&text) {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.clone().any(|word| word == "unsafe") {
                wrong.push(format!("src/{file}:{n}: {}", line.trim()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn pingora_is_named_in_few_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if PINGORA.iter().any(|room| file.starts_with(&format!("{room}/")) || file == format!("{room}.rs")) {
            continue;
        }
        for (n, line) in code(&text).filter(|(_, line)| line.contains("pingora::") || line.contains("pingora_")) {
            wrong.push(format!("src/{file}:{n}: {}", line.trim()));
        }
    }
    report(&wrong);
}

#[test]
fn wasmtime_is_named_in_one_room() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if WASMTIME.iter().any(|room| file.starts_with(room)) {
            continue;
        }
        for (n, line) in code(&text).filter(|(_, line)| line.contains("wasmtime::")) {
            wrong.push(format!("src/{file}:{n}: {}", line.trim()));
        }
    }
    report(&wrong);
}
