//! Tidying: the bus keeps no file that nobody needs.
//!
//! In: what is known of revisions, the files on the bus. Out: those forgotten that `fleet::revision` says may go. Never: a file forgotten while
//! not all of the log was read and understood.

use std::time::Duration;

use super::{LOOK_EVERY, Revising, RevisingError};
use crate::fleet::revision::{UNTOUCHED, unneeded};

/// Between two looks.
const TIDY_EVERY: Duration = Duration::from_secs(600);

// === impl Revising: tidying ===
impl Revising {
    /// For as long as the process lives, once it knows what there is.
    pub(super) async fn tidy_always(&self) {
        loop {
            let all_read = {
                let noted = self.noted.lock();
                noted.caught_up && !noted.unread
            };
            if !all_read {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            match self.tidy().await {
                Ok(0) => {}
                Ok(gone) => log::info!("{gone} files that no revision names are forgotten"),
                Err(error) => log::debug!("files that no revision names stay: {error}"),
            }
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    /// How many files were forgotten.
    async fn tidy(&self) -> Result<usize, RevisingError> {
        let bus = self.bus()?;
        let all = bus.blobs().await?;
        let unneeded = {
            let known = self.known.lock();
            unneeded(all, known.manifests().values().map(|(_, manifest)| manifest), &known.course.kept())
        };
        let mut gone = 0;
        for digest in unneeded.unwrap_or_default() {
            gone += usize::from(bus.forget_blob(digest, UNTOUCHED).await?);
        }
        Ok(gone)
    }
}
