//! Own: a directory in which nobody else can put anything.
//!
//! In: a path below a directory that everybody may write to. Out: the directory, made or found to be ours alone, or why not. Never: one that
//! somebody else made, or could change: what lies in it is loaded and run.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Write permission of the group and of everybody.
const OTHERS: u32 = 0o022;

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    #[error("cannot make {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error(
        "{} {why}: somebody else may decide what is in it, and it is not used\n  remove it, or name a directory of your own \
         in TMPDIR",
        path.display()
    )]
    Foreign { path: PathBuf, why: &'static str },
}

/// Makes `path`, its last part only, for this user alone; one that is there already must be so.
pub fn directory(path: &Path) -> Result<(), OwnError> {
    let failed = |source| OwnError::Make { path: path.to_owned(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(failed),
    }
    // Not followed: where a link leads may be changed by whoever made it.
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    match foreign(&found, own_uid().map_err(failed)?) {
        Some(why) => Err(OwnError::Foreign { path: path.to_owned(), why }),
        None => Ok(()),
    }
}

fn foreign(found: &std::fs::Metadata, uid: u32) -> Option<&'static str> {
    match () {
        () if found.is_symlink() => Some("is a symbolic link"),
        () if !found.is_dir() => Some("is no directory"),
        () if found.uid() != uid => Some("belongs to another user"),
        () if found.mode() & OTHERS != 0 => Some("can be written to by other users"),
        () => None,
    }
}

/// Whose files this process makes: that of one it has just made.
fn own_uid() -> io::Result<u32> {
    Ok(tempfile::tempfile()?.metadata()?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_directory_is_made_for_its_owner_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for _ in 0..2 {
            directory(&path).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_others_may_have_made_or_may_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("aim")).unwrap();
        std::os::unix::fs::symlink(at("aim"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for (name, mode) in [("group", 0o770), ("all", 0o707), ("readable", 0o755)] {
            std::fs::create_dir(at(name)).unwrap();
            set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        for (name, says) in [
            ("link", Some("is a symbolic link")),
            ("dangling", Some("is a symbolic link")),
            ("file", Some("is no directory")),
            ("group", Some("can be written to by other users")),
            ("all", Some("can be written to by other users")),
            ("readable", None),
            ("above/below", Some("cannot make")),
        ] {
            let got = directory(&at(name)).err().map(|error| error.to_string());
            match says {
                Some(says) => {
                    let error = got.unwrap();
                    assert!(error.contains(says) && error.contains(at(name).to_str().unwrap()), "{name}: {error}");
                }
                None => assert_eq!(got, None, "{name}"),
            }
        }
    }

    #[test]
    fn another_users_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (found, uid) = (dir.path().symlink_metadata().unwrap(), own_uid().unwrap());
        assert_eq!(foreign(&found, uid), None);
        assert_eq!(foreign(&found, uid.wrapping_add(1)), Some("belongs to another user"));
    }
}
