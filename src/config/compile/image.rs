//! Image: functions that lie in a registry.
//!
//! In: `oci://` references, `[[registry]]`. Out: the verified copy on this machine, or that it has to be pulled. Never: a network.

use std::path::PathBuf;

use super::{Checked, Report};
use crate::config::image::{BESIDE, Image, Wanted, is_host};
use crate::config::schema;
use crate::config::source::At;

/// Where images are kept and how they are got.
#[derive(Default)]
pub(super) struct Images {
    /// Below the state directory.
    dir: PathBuf,
    registries: Vec<schema::Registry>,
    wanted: Vec<Wanted>,
}

// === impl Images ===
impl Images {
    pub(super) fn wanted(self) -> Vec<Wanted> {
        self.wanted
    }
}

// === impl Report: images ===
impl Report<'_> {
    /// Says where images are kept, before the first is asked for.
    pub(super) fn registries(&mut self, dir: PathBuf, registries: Vec<schema::Registry>) {
        for (i, registry) in registries.iter().enumerate() {
            let at = At::default().key("registry").index(i).key("host");
            if !is_host(&registry.host) {
                self.refuse_with(&at, format!("'{}' is no host", registry.host), "like \"ghcr.io\" or \"r.test:5000\"");
            } else if registries.iter().take(i).any(|other| other.host.eq_ignore_ascii_case(&registry.host)) {
                self.refuse(&at, format!("'{}' is there twice", registry.host));
            }
        }
        self.images = Images { dir, registries, wanted: Vec::new() };
    }

    /// The component of an image: beside the text, where a revision has it, or among those that were pulled. One that is in neither place
    /// is wanted there.
    pub(super) fn image(&mut self, at: &At, text: &str) -> Checked<PathBuf> {
        let image = match Image::parse(text) {
            Ok(image) => image,
            Err(error) => return Err(self.refuse_with(at, error.to_string(), error.help())),
        };
        let dir = self.images.dir.clone();
        for dir in [self.path(at, BESIDE), dir.clone()] {
            if let Some([manifest, component]) = image.kept(&dir) {
                self.files.found(&manifest);
                self.files.found(&component);
                return Ok(component);
            }
        }
        let known = self.images.registries.iter().position(|known| known.host.eq_ignore_ascii_case(&image.host));
        let login = match known.and_then(|i| Some((i, self.images.registries.get(i)?.clone()))) {
            Some((i, registry)) => {
                let at = At::default().key("registry").index(i).key("password");
                Some((registry.username, self.secret(&at, &registry.password.0)?))
            }
            None => None,
        };
        let place = self.sources.find(at, format!("{image} is not on this machine"), None);
        let [_, component] = image.files(&dir);
        self.images.wanted.push(Wanted { image, dir, login, place });
        Ok(component)
    }
}
