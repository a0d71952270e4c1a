//! Quota: code that is more than AWS would take at an event.
//!
//! In: the compiled configuration, the files of functions with mode = "strict". Out: refusals. Never: a function built; what is measured is
//! what a build takes in of a directory (hooks/build/bundle.rs), TypeScript aside, which is not what would be deployed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::Report;
use super::function::files_below;
use crate::config::compiled::{Config, Flavor, Function, Mode, is_typescript};
use crate::config::source::At;

/// Bytes of a Lambda@Edge function's code, zipped, at viewers' events and at origins' (CloudFront Developer Guide, "Quotas on
/// Lambda@Edge").
const VIEWER: u64 = 1 << 20;
const ORIGIN: u64 = 50 << 20;
/// Bytes of a zip file for each file in it, twice its name aside, and for all (PKWARE's APPNOTE, 4.3).
const HEADS: u64 = 30 + 46 + 22;
/// Bytes that are not measured any more: nothing of that size is built (hooks/build/bundle.rs).
const BUILT: u64 = 64 << 20;

/// Refuses what a function in strict mode has too much of. A CloudFront function is measured when it is built, by its source.
pub(super) fn refuse(config: &Config, report: &mut Report<'_>) {
    let (mut measured, mut said) = (HashMap::new(), HashSet::new());
    for (position, behavior) in config.behaviors.iter().enumerate() {
        let at = At::default().key("behavior").index(position).key("hooks");
        let hooks = &behavior.hooks;
        for (event, chain, viewer) in [
            ("viewer_request", &hooks.viewer_request, true),
            ("origin_request", &hooks.origin_request, false),
            ("origin_response", &hooks.origin_response, false),
            ("viewer_response", &hooks.viewer_response, true),
        ] {
            for (i, hook) in chain.iter().enumerate() {
                let function = config.functions.get(hook.function).filter(|function| is_measured(function));
                let Some(Function { name, file, .. }) = function else { continue };
                let told = measured.entry((hook.function, viewer)).or_insert_with(|| too_much_code(file, viewer));
                let Some(told) = told.as_ref().filter(|_| said.insert((hook.function, viewer))) else { continue };
                let at = if chain.len() > 1 { at.key(event).index(i) } else { at.key(event) };
                report.refuse(&at, format!("function '{name}': {told}, with mode = \"strict\""));
            }
        }
    }
}

/// What is too much of the Lambda@Edge code at `path` for viewers' events, or for origins', in words. What cannot be read is refused by
/// who builds it.
pub fn too_much_code(path: &Path, viewer: bool) -> Option<String> {
    let (who, most) = if viewer { ("viewer", VIEWER) } else { ("origin", ORIGIN) };
    let size = beyond(path, most).ok().flatten()?;
    let all = if path.is_dir() { " (every file of its directory counts)" } else { "" };
    Some(format!("its code has {size} bytes when zipped{all}, Lambda@Edge takes {most} at {who} events"))
}

fn is_measured(function: &Function) -> bool {
    let lambda = match function.flavor {
        Flavor::CloudFront1 | Flavor::CloudFront2 => false,
        Flavor::LambdaEdge => true,
        // A global handler is a CloudFront function.
        Flavor::Auto => std::fs::read_to_string(&function.file).map_or(true, |text| text.contains("export")),
    };
    function.mode == Mode::Strict && lambda
}

/// The size of the code's zip file, where it is more than `most`.
fn beyond(path: &Path, most: u64) -> io::Result<Option<u64>> {
    let (root, files) = match path.is_dir() {
        true => (path, files_below(path)?.unwrap_or_default()),
        false => (path.parent().unwrap_or(Path::new("")), vec![path.to_owned()]),
    };
    let files: Vec<(String, PathBuf)> = files.into_iter().filter_map(|file| Some((code(root, &file)?, file))).collect();
    let (mut plain, mut heads) = (0, 0);
    for (name, file) in &files {
        plain += std::fs::metadata(file)?.len();
        heads += HEADS + 2 * name.len() as u64;
    }
    // Hardly anything becomes larger when it is deflated.
    if plain + heads <= most || plain > BUILT {
        return Ok(None);
    }
    let size = zipped(&files)?;
    Ok((size > most).then_some(size))
}

/// The name of a file in its package; `None`: it is no code that AWS would be given.
fn code(root: &Path, file: &Path) -> Option<String> {
    let name = file.strip_prefix(root).ok()?;
    let hidden = name.iter().any(|part| part.as_encoded_bytes().starts_with(b"."));
    let extension = name.extension().and_then(|extension| extension.to_str());
    let other = matches!(extension, Some("map" | "node" | "wasm" | "wat")) || is_typescript(name);
    (!hidden && !other).then(|| name.to_string_lossy().into_owned())
}

fn zipped(files: &[(String, PathBuf)]) -> io::Result<u64> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, file) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default().compression_method(CompressionMethod::Deflated))?;
        io::copy(&mut File::open(file)?, &mut zip)?;
    }
    Ok(zip.finish()?.into_inner().len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no zip makes smaller.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    #[test]
    fn code_is_measured_as_it_is_deployed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, bytes) in [
            ("plain.js", vec![b' '; 9000]),
            ("noise.js", noise(9000)),
            ("noise.ts", noise(9000)),
            ("noise.wasm", noise(9000)),
            ("package/index.js", noise(5000)),
            ("package/lib/a.js", noise(5000)),
            ("package/lib/a.js.map", noise(9000)),
            ("package/.git/pack", noise(9000)),
        ] {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), bytes).unwrap();
        }
        for (name, most, more) in [
            ("plain.js", 5000, false),
            ("plain.js", 20, true),
            ("noise.js", 5000, true),
            ("noise.js", 9000, true),
            ("noise.js", 9200, false),
            ("noise.ts", 5000, false),
            ("noise.wasm", 5000, false),
            ("package", 9500, true),
            ("package", 10_500, false),
        ] {
            let found = beyond(&path(name), most).unwrap();
            assert_eq!(found.is_some(), more, "{name} {most}: {found:?}");
            assert!(found.is_none_or(|size| size > most && size < most + 10_000), "{name} {most}: {found:?}");
        }
        assert!(beyond(&path("gone.js"), 1).is_err());
    }
}
