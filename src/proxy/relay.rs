//! Relay: moves one pass-through exchange between a viewer's wire and an origin's link.
//!
//! In: a planned request. Out: its answer, streamed as it comes; or the request, handed to the full path. Never: more than one
//! read of a body in memory, a second attempt (the full path makes those), a short answer that looks whole.

use std::future::poll_fn;
use std::io::Write;
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, BufMut, BytesMut};
use http::StatusCode;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};
use tokio::io::AsyncWriteExt;

use crate::listen::Wire;
use crate::observe::Failure;
use crate::origin::answer::{self, Framing, Head};
use crate::origin::chunks::{Chunks, Run};
use crate::origin::link::Link;
use crate::origin::{Aim, Outcome};

use super::fast::INLINE_BODY;
use super::pass::{Pass, ROOM};
use super::plan::Scratch;
use super::prior::{Prior, Trouble};
use super::shared::Shared;
use super::{failure, upstream};

/// How an exchange ended.
#[derive(Debug)]
pub enum Passed {
    /// The viewer has the whole answer.
    Whole,
    /// One side went away; the viewer's connection must end too. What failed, in the operator's words.
    Broken(Failure, String),
    /// The viewer has seen no final answer: the full path goes on from here.
    Full(Box<Prior>),
}

/// Why an exchange cannot go on.
enum Stop {
    Origin(Box<Error>),
    Viewer,
}

/// What is still to come of a body.
enum Rest {
    Bytes(u64),
    Chunks(Chunks),
    /// All until the connection's end.
    All,
}

/// Asks the origin and carries its answer to the viewer.
pub async fn run(
    shared: &Shared,
    wire: &mut Wire,
    pass: &mut Pass,
    scratch: &mut Scratch,
    shutdown: &ShutdownWatch,
) -> Passed {
    let now = Instant::now();
    pass.asked.started = Some(now);
    pass.asked.attempts = 1;
    let snapshot = pass.snapshot.clone();
    let Aim { place, patience, target, host } = match snapshot.origins.aim(pass.origin, &pass.pick()).await {
        Ok(aim) => aim,
        Err(error) => return Passed::Full(pass.hand_over(Trouble::Unpicked(error))),
    };
    let index = target.index;
    pass.asked.target = Some(target);
    let mut link = match shared.pool.take(place, now) {
        Some(mut link) => {
            // A reload may have changed it.
            link.patience = patience;
            link
        }
        None => match Link::connect(place.1, patience).await {
            Ok(link) => {
                pass.asked.connect = Some(now.elapsed());
                link
            }
            Err(error) => {
                pass.asked.tried.push(index);
                return Passed::Full(pass.hand_over(Trouble::Broke { error, connected: false, reused: false }));
            }
        },
    };
    let reused = link.reused;
    pass.compose(&host, &mut scratch.out);
    pass.asked.host = Some(host);
    let stop = match exchange(wire, pass, &mut link, scratch, shutdown).await {
        Ok(keeps) => {
            if keeps {
                shared.pool.keep(place, link, Instant::now());
            }
            return Passed::Whole;
        }
        Err(stop) => stop,
    };
    match stop {
        Stop::Viewer => Passed::Broken(Failure::ClientAborted, "the viewer went away".to_owned()),
        Stop::Origin(error) if pass.told.status == 0 => {
            pass.asked.tried.push(index);
            Passed::Full(pass.hand_over(Trouble::Broke { error, connected: true, reused }))
        }
        Stop::Origin(error) => {
            let (_, kind) = failure::classify(&error);
            if let Some(target) = &pass.asked.target {
                snapshot.origins.report(pass.origin, target, upstream::outcome(kind));
            }
            Passed::Broken(kind, failure::words(&error))
        }
    }
}

/// Sends the request that stands in `scratch`, and carries the answer. Whether the link may serve another.
async fn exchange(
    wire: &mut Wire,
    pass: &mut Pass,
    link: &mut Link,
    scratch: &mut Scratch,
    shutdown: &ShutdownWatch,
) -> Result<bool, Stop> {
    link.send(&scratch.out).await.map_err(Stop::Origin)?;
    let mut head = loop {
        let parsed = answer::parse(&link.buffer, &mut scratch.answered);
        match parsed.map_err(|reason| Stop::Origin(invalid(reason)))? {
            Some(mut head) if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS => {
                link.buffer.advance(head.len);
                scratch.out.clear();
                pass.interim(&mut head, &mut scratch.out);
                write(wire, &scratch.out, &[]).await?;
            }
            Some(head) => break head,
            None if more(wire, link).await? == 0 => return Err(ended()),
            None => {}
        }
    };
    link.buffer.advance(head.len);
    // What the head promises now is kept; the origin may have been asked long ago.
    pass.keep_alive &= !*shutdown.borrow();
    let framing = answered(pass, &mut head, scratch)?;
    let done = body(wire, link, framing, &mut scratch.out).await;
    let keeps = head.keeps && framing != Framing::Close && link.buffer.is_empty();
    if head.fields.capacity() <= ROOM {
        scratch.answered = head.fields;
    }
    done.map(|()| keeps)
}

/// Notes the final answer's head, and writes it for the viewer into `scratch`.
fn answered(pass: &mut Pass, head: &mut Head, scratch: &mut Scratch) -> Result<Framing, Stop> {
    let status = head.status.as_u16();
    pass.asked.status = status;
    pass.asked.first_byte = Some(upstream::since(pass.asked.started));
    if let Some(target) = &pass.asked.target {
        pass.snapshot.origins.report(pass.origin, target, Outcome::Ok { status });
    }
    if status == 101 || status == 304 && !pass.conditional {
        return Err(Stop::Origin(invalid(format!("the origin sent a {status} that nobody asked for"))));
    }
    pass.asked.answered = true;
    pass.dress(head, &mut scratch.lines, &mut scratch.out)
        .map_err(|error| Stop::Origin(Error::because(ErrorType::InvalidHTTPHeader, "origin", error).into_up()))
}

/// Writes what stands in `out`, then the body as it comes.
async fn body(wire: &mut Wire, link: &mut Link, framing: Framing, out: &mut BytesMut) -> Result<(), Stop> {
    let mut rest = match framing {
        Framing::None | Framing::Length(0) => return write(wire, out, &[]).await,
        Framing::Length(length) => Rest::Bytes(length),
        Framing::Chunked => Rest::Chunks(Chunks::default()),
        Framing::Close => Rest::All,
    };
    loop {
        let (taken, apart, whole) = match &mut rest {
            Rest::Bytes(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(link.buffer.len());
                *left -= here as u64;
                (here, out.len() + here > INLINE_BODY, *left == 0)
            }
            Rest::Chunks(chunks) => {
                let (taken, whole) = match rechunk(chunks, &link.buffer, out) {
                    Ok(taken) => taken,
                    Err(reason) => {
                        // The viewer sees what came before it, and that it was not all.
                        write(wire, out, &[]).await?;
                        return Err(Stop::Origin(Error::explain(ErrorType::ReadError, reason).into_up()));
                    }
                };
                link.buffer.advance(taken);
                (0, false, whole)
            }
            Rest::All => {
                put_chunk(&link.buffer, out);
                (0, false, false)
            }
        };
        let content = &link.buffer[..taken];
        if apart {
            write(wire, out, content).await?;
        } else {
            out.put_slice(content);
            if !out.is_empty() {
                write(wire, out, &[]).await?;
            }
        }
        out.clear();
        match rest {
            Rest::All => link.buffer.clear(),
            _ => link.buffer.advance(taken),
        }
        if whole {
            return Ok(());
        }
        if more(wire, link).await? == 0 {
            return match rest {
                Rest::All => write(wire, LAST_CHUNK, &[]).await,
                Rest::Bytes(_) | Rest::Chunks(_) => Err(ended()),
            };
        }
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Copies the content of `coded` to `out` in chunks of our own: how many bytes were used, and whether it ended there. What
/// stands before an error was copied.
fn rechunk(chunks: &mut Chunks, coded: &[u8], out: &mut BytesMut) -> Result<(usize, bool), &'static str> {
    let mut at = 0;
    loop {
        match chunks.next(coded, at)? {
            Run::Content(run) => {
                at = run.end;
                put_chunk(&coded[run], out);
            }
            Run::More => return Ok((coded.len(), false)),
            Run::End(end) => {
                out.put_slice(LAST_CHUNK);
                return Ok((end, true));
            }
        }
    }
}

fn put_chunk(content: &[u8], out: &mut BytesMut) {
    if content.is_empty() {
        // An empty chunk would be the last.
        return;
    }
    out.reserve(content.len() + 20);
    // A buffer that grows cannot refuse.
    let _ = write!(out.writer(), "{:x}\r\n", content.len());
    out.put_slice(content);
    out.put_slice(b"\r\n");
}

/// Writes both parts and sends them on.
async fn write(wire: &mut Wire, head: &[u8], content: &[u8]) -> Result<(), Stop> {
    for part in [head, content] {
        if !part.is_empty() {
            wire.write_all(part).await.map_err(|_| Stop::Viewer)?;
        }
    }
    wire.flush().await.map_err(|_| Stop::Viewer)
}

/// Waits for more of the answer; 0 = the origin sends no more. A viewer that goes away ends the wait.
async fn more(wire: &mut Wire, link: &mut Link) -> Result<usize, Stop> {
    poll_fn(|cx| {
        if let Poll::Ready(filled) = link.poll_fill(cx) {
            return Poll::Ready(filled.map_err(Stop::Origin));
        }
        wire.poll_left(cx).map(|()| Err(Stop::Viewer))
    })
    .await
}

fn ended() -> Stop {
    Stop::Origin(Error::explain(ErrorType::ConnectionClosed, "the origin's answer ended early").into_up())
}

fn invalid(reason: String) -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, reason).into_up()
}
