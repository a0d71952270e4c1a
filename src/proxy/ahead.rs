//! Ahead: the beginning of a request's body, read for functions before its origin is chosen.
//!
//! In: a session, how much functions may see. Out: as much of its body, and what every attempt is sent before the rest. Never: a body
//! read to its end past what Pingora keeps: it sends what it keeps to send again, and what it reads itself.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::config::compiled::Limits;
use crate::hooks::Body;
use crate::hooks::limits::BODY_SEEN_VIEWER;
use crate::limit::{Held, Hold};

use super::asking;
use super::uploads::{self, Upload};

/// What Pingora keeps of a body to send it again.
pub const RETRY_BUFFER: usize = 64 << 10;

/// What was read, and is not in Pingora's hands.
#[derive(Debug, Default)]
pub struct Ahead {
    bytes: Bytes,
    hold: Option<Hold>,
    /// Bytes that came, whoever has them.
    came: u64,
    /// Pingora reads the rest.
    begun: bool,
    /// The attempt in hand was sent it.
    sent: bool,
}

/// How much of bodies may be held beyond what every request may have in memory.
pub struct Room<'r> {
    pub held: &'r Arc<Held>,
    pub address: IpAddr,
    pub limits: &'r Limits,
}

/// The same as [`asking::announced`], as bytes in memory.
pub fn announced(session: &Session) -> Option<usize> {
    asking::announced(session.req_header()).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

// === impl Room ===
impl Room<'_> {
    fn more(&self, hold: &mut Option<Hold>, bytes: usize) -> Result<()> {
        let hold = hold.get_or_insert_with(|| self.held.begin(self.address));
        hold.more(bytes, self.limits.signed_bodies, self.limits.signed_bodies_per_address)
            .map_err(|full| Error::explain(ErrorType::HTTPStatus(503), full.to_string()))
    }
}

// === impl Ahead ===
impl Ahead {
    /// As much of the body as functions may see, at most `most` bytes; `None`: it has none. Of a body whose length nobody knows it is no
    /// more than Pingora keeps.
    ///
    /// # Errors
    /// The viewer is gone or too slow. 503: more would have to be held than there is room for.
    pub async fn read(
        &mut self,
        session: &mut Session,
        upload: &Option<Arc<Upload>>,
        most: usize,
        room: Room<'_>,
    ) -> Result<Option<Body>> {
        if session.as_mut().is_body_empty() {
            return Ok(None);
        }
        if asking::expects_continue(session) {
            asking::send_continue(session).await?;
        }
        let announced = announced(session);
        let most = if announced.is_some() { most } else { most.min(BODY_SEEN_VIEWER) };
        uploads::wait(upload);
        let filled = self.fill(session, upload, (announced, most), &room).await;
        uploads::hold(upload);
        let (seen, whole) = filled?;
        let more = announced.map_or(!whole, |bytes| bytes > seen.len());
        Ok(Some(Body { data: seen.slice(..seen.len().min(most)), truncated: more || seen.len() > most }))
    }

    /// All that was read so far, `most` bytes or a read's more, if there are as many; whether it is the whole body. Trailers that follow
    /// the last byte hide from Pingora that it is.
    async fn fill(
        &mut self,
        session: &mut Session,
        upload: &Option<Arc<Upload>>,
        (announced, most): (Option<usize>, usize),
        room: &Room<'_>,
    ) -> Result<(Bytes, bool)> {
        let downstream = session.as_mut();
        let (mut own, mut ended) = (self.bytes.len(), false);
        let mut seen = BytesMut::from(&self.bytes[..]);
        // After a retry, or another function, it is there already.
        seen.extend_from_slice(&downstream.get_retry_buffer().unwrap_or_default());
        // Where only the next read shows whether there is more, it is made: it fits what Pingora keeps.
        let enough = |seen: usize| if announced.is_some() { seen >= most } else { seen > most };
        while !self.begun && !enough(seen.len()) && !downstream.is_body_done() {
            // The last part stays with Pingora, which would otherwise send nothing of a body that it sees at its end.
            let kept = announced.is_none_or(|whole| whole.saturating_sub(seen.len()) <= RETRY_BUFFER);
            if kept {
                downstream.enable_retry_buffering();
            }
            let part = downstream.read_request_body().await.map_err(|error| error.into_down())?;
            uploads::came(upload, part.as_ref(), part.is_none());
            let Some(part) = part else {
                ended = true;
                break;
            };
            self.came += part.len() as u64;
            seen.extend_from_slice(&part);
            if !kept {
                own = seen.len();
                // What functions of viewer events see is bounded by the connections, as all buffers are.
                if most > BODY_SEEN_VIEWER {
                    room.more(&mut self.hold, part.len())?;
                }
            }
        }
        let seen = seen.freeze();
        self.bytes = seen.slice(..own);
        Ok((seen, ended || downstream.is_body_done()))
    }

    /// Bytes that came before an attempt began.
    pub fn came(&self) -> u64 {
        self.came
    }

    /// An attempt begins: it is sent all of the body.
    pub fn begin(&mut self) {
        (self.begun, self.sent) = (true, false);
    }

    /// Puts what was read ahead before the first `part` of an attempt. It is held no longer than there may be another attempt.
    pub fn lead(&mut self, part: &mut Option<Bytes>, session: &Session) {
        if !std::mem::replace(&mut self.sent, true) && !self.bytes.is_empty() {
            *part = Some(match part.take().filter(|part| !part.is_empty()) {
                Some(part) => [&self.bytes[..], &part[..]].concat().into(),
                None => self.bytes.clone(),
            });
        }
        if session.as_ref().retry_buffer_truncated() {
            (self.bytes, self.hold) = (Bytes::new(), None);
        }
    }
}
