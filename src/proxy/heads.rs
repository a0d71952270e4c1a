//! Heads: the header section of a hit over HTTP/2, which wants fields where HTTP/1.1 wants lines.
//!
//! In: a hit. Out: its fields; what does not change from hit to hit is read once from the stored lines and kept. Never: decides
//! what they are: they come from the same edits and words as the lines.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use bytes::BytesMut;
use http::{HeaderValue, header};
use pingora::http::ResponseHeader;

use crate::cache::object::Object;
use crate::cache::store;

use super::edge;
use super::fast::{self, Hit};
use super::snapshot::{Served, Snapshot};

/// Heads kept by each worker: about 2 KiB each. An object that is dropped keeps some 200 bytes until its place is taken.
const KEPT: usize = 256;

/// Room for the lines of most answers, in bytes.
const LINES: usize = 1024;

thread_local! {
    static HEADS: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
}

/// The fields of one object as one behavior shows them. Weak, so that a purged body does not stay for its head.
#[derive(Debug)]
struct Known {
    object: Weak<Object>,
    served: Weak<Served>,
    tls: bool,
    head: ResponseHeader,
}

/// The header section that answers a hit.
pub fn header(snapshot: &Snapshot, hit: &Hit, tls: bool) -> Option<ResponseHeader> {
    let mut head = stored(hit, tls)?;
    let words = fast::words(snapshot, hit);
    let mut own = BytesMut::with_capacity(64);
    // A buffer that grows cannot refuse.
    let _ = words.write(&mut own);
    let mut status = HeaderValue::from_maybe_shared(own.freeze()).ok()?;
    let mut id = HeaderValue::from_bytes(hit.id.bytes()).ok()?;
    // No two answers have the same: in the viewer's table of fields they would only push out those that all answers share.
    status.set_sensitive(true);
    id.set_sensitive(true);
    head.append_header(header::AGE, HeaderValue::from(hit.age_s)).ok()?;
    head.append_header(edge::CACHE_STATUS, status).ok()?;
    head.append_header(edge::X_CACHE, HeaderValue::from_static(fast::X_CACHE_HIT)).ok()?;
    for (name, value) in hit.entered.fields() {
        head.append_header(name, value).ok()?;
    }
    head.append_header(edge::POP, snapshot.signature.pop_value()).ok()?;
    head.append_header(edge::REQUEST_ID, id).ok()?;
    Some(head)
}

/// The stored fields with the behavior's edits.
fn stored(hit: &Hit, tls: bool) -> Option<ResponseHeader> {
    HEADS.with_borrow_mut(|heads| {
        if heads.is_empty() {
            heads.resize_with(KEPT, || None);
        }
        let place = &mut heads[(Arc::as_ptr(&hit.object) as usize / 64) % KEPT];
        if let Some(known) = place
            && std::ptr::eq(known.object.as_ptr(), Arc::as_ptr(&hit.object))
            && std::ptr::eq(known.served.as_ptr(), Arc::as_ptr(&hit.served))
            && known.tls == tls
        {
            return Some(known.head.clone());
        }
        let mut lines = BytesMut::with_capacity(LINES);
        fast::stored_lines(hit, tls, &mut lines);
        let head = store::head::header(hit.object.meta.status, &lines).ok()?;
        let known =
            Known { object: Arc::downgrade(&hit.object), served: Arc::downgrade(&hit.served), tls, head: head.clone() };
        *place = Some(known);
        Some(head)
    })
}
