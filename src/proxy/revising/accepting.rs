//! Accepting: what an operator brings, on the bus.
//!
//! In: files, signed envelopes. Out: them on the bus, or why not. Never: an envelope whose signature does not hold, or whose files are not
//! all there; a bus given up because it was not there at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::{AT_ONCE, LOOK_EVERY, Revising, RevisingError};
use crate::fleet::bus::{Bus, BusError, Digest, Topic};
use crate::fleet::revision::{Act, Envelope, Manifest};

/// For how long what the bus does not do is tried again: after the start of a fleet, files are opened, a leaf finds its hub, streams are made.
const PATIENCE: Duration = Duration::from_secs(5);

// === impl Revising ===
impl Revising {
    /// Keeps a file for a revision that will name it.
    pub async fn take_blob(&self, bytes: Bytes) -> Result<Digest, RevisingError> {
        self.patiently(|bus| {
            let bytes = bytes.clone();
            async move { Ok(bus.put_blob(bytes).await?) }
        })
        .await
    }

    /// Verifies an envelope, sees that all its files are there, and publishes it. Durable once it returns `Ok` with its number.
    pub async fn accept(&self, bytes: &[u8]) -> Result<u64, RevisingError> {
        let envelope = Envelope::parse(bytes)?;
        let manifest = envelope.open(&self.trust, self.size)?;
        let _one = self.accepting.lock().await;
        self.known.lock().permits(&manifest)?;
        self.somewhere(&manifest.act)?;
        // Again and again under the same id: it is there once, whatever the bus said of it before.
        self.patiently(|bus| self.publish(bus, &envelope, &manifest)).await?;
        let serial = manifest.serial;
        // The bus brings it as well: the second time changes nothing.
        self.arrived(envelope, manifest).await;
        Ok(serial)
    }

    async fn publish(&self, bus: Arc<dyn Bus>, envelope: &Envelope, manifest: &Manifest) -> Result<(), RevisingError> {
        // Before they are looked for: nobody forgets them from here on.
        touch(&*bus, manifest).await?;
        self.fetch(manifest).await?;
        bus.publish(Topic::Revisions, envelope.message(manifest.serial)).await?;
        Ok(())
    }

    /// Does `work` with the bus. While that is not open or cannot be reached it is tried again, for [`PATIENCE`].
    async fn patiently<T, W>(&self, work: impl Fn(Arc<dyn Bus>) -> W) -> Result<T, RevisingError>
    where
        W: Future<Output = Result<T, RevisingError>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let done = match self.bus.get() {
                Some(bus) => work(bus.clone()).await,
                None => Err(RevisingError::Starting),
            };
            match done {
                Err(RevisingError::Starting | RevisingError::Bus(BusError::Away(_))) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                done => return done,
            }
        }
    }

    /// A canary is for PoPs that there are: those of this node, of the peers that its configuration names, of nodes that told of
    /// themselves.
    fn somewhere(&self, act: &Act) -> Result<(), RevisingError> {
        let Act::Canary { pops, .. } = act else { return Ok(()) };
        let live = self.shared.live.load();
        let peers = live.config.fleet.peers.iter().map(|peer| peer.pop.clone());
        let told = self.shared.board.nodes().into_iter().map(|heard| heard.state.pop);
        let all = peers.chain(told).chain([self.pop.clone()]);
        let there: BTreeSet<String> = all.filter(|pop| !pop.is_empty()).collect();
        match pops.iter().find(|pop| *pop != "*" && !there.contains(*pop)) {
            None => Ok(()),
            Some(pop) => {
                let there = there.into_iter().collect::<Vec<_>>().join(", ");
                Err(RevisingError::Senseless(format!("no node is in the PoP {pop}; known are {there}")))
            }
        }
    }
}

/// Keeps a revision's files on the bus until it is known everywhere that it names them.
async fn touch(bus: &dyn Bus, manifest: &Manifest) -> Result<(), RevisingError> {
    let digests: Vec<Digest> = manifest.files.iter().filter_map(|file| Digest::parse(&file.digest)).collect();
    let each = digests.into_iter().map(|digest| bus.touch_blob(digest));
    Ok(futures::stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await?)
}
