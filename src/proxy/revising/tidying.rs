//! Tidying: the bus keeps no file that nobody needs.
//!
//! In: what is known of revisions and of items of global tables, the files on the bus. Out: those forgotten that neither names. Never: a file
//! forgotten while not all of the logs was read and understood.

use std::time::Duration;

use futures::StreamExt as _;

use super::{LOOK_EVERY, Revising, RevisingError};
use crate::fleet::bus::{Bus, BusError, Digest, Topic};
use crate::fleet::items::Named;
use crate::fleet::revision::{UNTOUCHED, unneeded};

/// Between two looks.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// The longest silence of the log of items before its head.
const SILENCE: Duration = Duration::from_secs(30);

// === impl Revising: tidying ===
impl Revising {
    /// For as long as the process lives, once it knows what there is.
    pub(super) async fn tidy_always(&self) {
        let mut items = Named::default();
        loop {
            let all_read = {
                let noted = self.noted.lock();
                noted.caught_up && !noted.unread
            };
            if !all_read {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            match self.tidy(&mut items).await {
                Ok(0) => {}
                Ok(gone) => log::info!("{gone} files that nothing names are forgotten"),
                Err(error) => log::debug!("files that nothing names stay: {error}"),
            }
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    /// How many files were forgotten.
    async fn tidy(&self, items: &mut Named) -> Result<usize, RevisingError> {
        let bus = self.bus()?;
        let all = bus.blobs().await?;
        let unneeded = {
            let known = self.known.lock();
            unneeded(all, known.manifests().values().map(|(_, manifest)| manifest), &known.course.kept())
        };
        Ok(forget(&**bus, unneeded.unwrap_or_default(), items, UNTOUCHED).await?)
    }
}

/// Forgets those of `files`, which no revision names, that no item names either and that were not touched for so long: an item's message
/// comes after its blob. How many that were.
async fn forget(bus: &dyn Bus, files: Vec<Digest>, items: &mut Named, untouched: Duration) -> Result<usize, BusError> {
    if files.is_empty() {
        return Ok(0);
    }
    let head = bus.head(Topic::Items).await?;
    if items.position() > head {
        // Of a log that is gone.
        *items = Named::default();
    }
    if items.position() < head {
        let mut tail = bus.tail(Topic::Items, items.position()).await?;
        while items.position() < head {
            let next = tokio::time::timeout(SILENCE, tail.next()).await;
            let next = next.ok().flatten().ok_or_else(|| BusError::Away("not all items were heard of".to_owned()))?;
            items.take(next?);
        }
    }
    let mut gone = 0;
    for digest in items.unneeded(files) {
        gone += usize::from(bus.forget_blob(digest, untouched).await?);
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::LocalBus;
    use crate::fleet::bus::{Keep, Message};
    use serde_json::json;

    #[tokio::test]
    async fn what_items_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { purges: Duration::from_secs(60), revisions: 9, blob: 1 << 20 };
        let bus = LocalBus::open(dir.path(), keep, Duration::ZERO).unwrap();
        let mut blobs = Vec::new();
        for text in ["named", "replaced", "nobody's"] {
            blobs.push(bus.put_blob(text.into()).await.unwrap());
        }
        let mut items = Named::default();
        let mut n = 0;
        let mut tell = async |subject: &str, body: String| {
            n += 1;
            let message = Message { subject: subject.to_owned(), id: n.to_string(), body: body.into() };
            bus.publish(Topic::Items, message).await.unwrap();
        };
        for (subject, blob) in [("t.a", blobs[0]), ("t.b", blobs[1])] {
            tell(subject, json!({"blob": blob.to_string()}).to_string()).await;
        }
        assert_eq!(forget(&bus, Vec::new(), &mut items, Duration::ZERO).await.unwrap(), 0);
        assert_eq!(forget(&bus, blobs.clone(), &mut items, Duration::ZERO).await.unwrap(), 1);
        assert!(bus.blob(blobs[0]).await.is_ok() && bus.blob(blobs[1]).await.is_ok());
        let whole = json!({"table": "t", "schema": "pk:S", "at": 1, "node": "a", "gone": {"pk": {"S": "b"}}});
        tell("t.b", whole.to_string()).await;
        assert_eq!(forget(&bus, blobs[..2].to_vec(), &mut items, Duration::ZERO).await.unwrap(), 1);
        assert!(bus.blob(blobs[0]).await.is_ok() && bus.blob(blobs[1]).await.is_err());
    }
}
