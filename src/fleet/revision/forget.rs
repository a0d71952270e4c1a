//! Forget: which files on the bus nobody needs.
//!
//! In: the files that there are, the manifests that are known, the revisions that may be served again. Out: what may go. Never: a guess where
//! not everything is known.
//!
//! One rule: a file goes when no manifest that is known names it, and it was not touched for [`UNTOUCHED`]. Who accepts a revision touches its
//! files first, so that a deploy that uses an old file again and a node that is about to forget it cannot both go on.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::manifest::Manifest;
use crate::fleet::bus::Digest;

/// How long a file stays that no revision names (yet): between sending it and naming it.
pub const UNTOUCHED: Duration = Duration::from_secs(3600);

/// The files of `all` that no manifest names. `None`: one of the revisions that are `kept` is not known here, and it might name any of them.
pub fn unneeded<'m>(
    all: impl IntoIterator<Item = Digest>,
    manifests: impl IntoIterator<Item = &'m Manifest>,
    kept: &BTreeSet<u64>,
) -> Option<Vec<Digest>> {
    let (mut named, mut missing) = (HashSet::new(), kept.clone());
    for manifest in manifests {
        missing.remove(&manifest.serial);
        named.extend(manifest.files.iter().filter_map(|file| Digest::parse(&file.digest)));
    }
    missing.is_empty().then(|| all.into_iter().filter(|digest| !named.contains(digest)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::revision::{Act, Item};

    fn manifest(serial: u64, files: &[&str]) -> Manifest {
        let item = |text: &&str| Item {
            path: (*text).to_owned(),
            digest: Digest::of(text.as_bytes()).to_string(),
            size: 1,
            secret: false,
        };
        let new = Manifest::new(serial, Act::Deploy, String::new(), String::new(), 1);
        Manifest { files: files.iter().map(item).collect(), ..new }
    }

    #[test]
    fn what_no_known_revision_names_goes() {
        let all = |names: &[&str]| names.iter().map(|name| Digest::of(name.as_bytes())).collect::<Vec<_>>();
        let known = [manifest(2, &["a", "b"]), manifest(3, &["b", "c"])];
        let there = all(&["a", "b", "c", "d"]);
        for (manifests, kept, want) in [
            (&known[..], &[2, 3][..], Some(&["d"][..])),
            // 2 may be shown still, though it is not served again.
            (&known[..], &[3], Some(&["d"])),
            (&known[1..], &[3], Some(&["a", "d"])),
            (&known[1..], &[2, 3], None),
            (&[], &[3], None),
            (&[], &[], Some(&["a", "b", "c", "d"])),
        ] {
            let kept = kept.iter().copied().collect();
            assert_eq!(unneeded(there.clone(), manifests, &kept), want.map(all), "{kept:?}");
        }
    }
}
