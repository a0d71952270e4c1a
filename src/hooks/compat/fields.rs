//! Fields: what a function returned of a message's header section, against what its event had.
//!
//! In: names and the lines wanted for each. Out: edits for those that differ, and for those that are gone. Never: how a
//! contract writes them; Lambda@Edge and CloudFront Functions share this.

use std::borrow::Cow;

use http::header::{GetAll, HOST};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::config::compiled::Mode;
use crate::hooks::Event;
use crate::hooks::exchange::Exchange;
use crate::hooks::failure::Failure;
use crate::hooks::fields;

use super::error;
use super::write::same;

/// The lines wanted for a name.
pub type Wanted<'a> = SmallVec<[Cow<'a, str>; 1]>;

/// A header section as a function wants it.
pub type Section<'a> = Vec<(Cow<'a, str>, Wanted<'a>)>;

/// Lines a returned header section may have, hidden ones included: above what a message may have after an edit.
const LINES_MAX: usize = 1024;

/// Refuses a section with more names or lines than that.
pub fn bounded(lines: usize) -> Result<(), Failure> {
    if lines > LINES_MAX {
        return Err(error::invalid(format_args!("\"headers\" has more than {LINES_MAX} lines")));
    }
    Ok(())
}

/// A name as the message has it.
pub fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The header section that an event edits.
pub fn of(exchange: &Exchange) -> &HeaderMap {
    match &exchange.response {
        Some(response) => &response.headers,
        None => &exchange.request.headers,
    }
}

/// Makes the visible fields of the message those that were returned. `ours` says which names the section speaks of: of the
/// others nothing is removed.
pub fn apply(
    exchange: &mut Exchange,
    wanted: &[(Cow<'_, str>, Wanted<'_>)],
    ours: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    bounded(wanted.iter().map(|(_, lines)| lines.len()).sum())?;
    let seen = |name: &HeaderName| !fields::hidden(name.as_str()) && ours(name.as_str());
    let Some(differing) = differing(of(exchange), wanted, seen) else {
        return rebuild(exchange, wanted, seen);
    };
    differing.into_iter().try_for_each(|at| replace(exchange, &wanted[at].0, &wanted[at].1))
}

/// Positions of what is not as it is in the message, when both are in one order and nothing is gone: nearly always.
fn differing(
    map: &HeaderMap,
    wanted: &[(Cow<'_, str>, Wanted<'_>)],
    seen: impl Fn(&HeaderName) -> bool,
) -> Option<Vec<usize>> {
    let mut there = map.iter().filter(|(name, _)| seen(name)).peekable();
    let mut differing = Vec::new();
    for (at, (name, lines)) in wanted.iter().enumerate() {
        let (mut count, mut equal) = (0, true);
        while let Some((_, value)) = there.next_if(|(own, _)| own.as_str() == name) {
            equal &= lines.get(count).is_some_and(|line| same(value.as_bytes(), line));
            count += 1;
        }
        if !equal || count != lines.len() {
            differing.push(at);
        }
    }
    there.next().is_none().then_some(differing)
}

/// The same with names in another order, or gone.
fn rebuild(
    exchange: &mut Exchange,
    wanted: &[(Cow<'_, str>, Wanted<'_>)],
    seen: impl Fn(&HeaderName) -> bool,
) -> Result<(), Failure> {
    let named = |name: &HeaderName| wanted.iter().any(|(wanted, _)| &**wanted == name.as_str());
    let gone = of(exchange).keys().filter(|name| seen(name) && !named(name));
    let gone: Vec<String> = gone.map(|name| name.as_str().to_owned()).collect();
    for name in gone {
        // A request without Host is none; in extended mode what was left out and cannot go simply stays.
        let stays = exchange.site.mode == Mode::Extended && fields::read_only(exchange.event, &name);
        if stays || exchange.event == Event::OriginRequest && name == HOST.as_str() {
            continue;
        }
        exchange.remove_header(&name).map_err(|why| error::field(exchange.event, &name, why))?;
    }
    for (name, lines) in wanted {
        replace(exchange, name, lines)?;
    }
    Ok(())
}

/// Makes the lines of one name those wanted, with as few edits as that takes.
pub fn replace(exchange: &mut Exchange, name: &str, lines: &[Cow<'_, str>]) -> Result<(), Failure> {
    let event = exchange.event;
    let refused = |why| error::field(event, name, why);
    let Some(kept) = common(of(exchange).get_all(name), lines) else { return Ok(()) };
    let mut rest = lines;
    if kept > 0 {
        rest = &lines[kept..];
    } else if let Some((first, more)) = lines.split_first() {
        exchange.set_header(name, first.as_bytes()).map_err(refused)?;
        rest = more;
    } else {
        exchange.remove_header(name).map_err(refused)?;
    }
    for line in rest {
        exchange.append_header(name, line.as_bytes()).map_err(refused)?;
    }
    Ok(())
}

/// `None`: both are the same. Otherwise how many lines of the message may stay: all of them, or none.
fn common(there: GetAll<'_, http::HeaderValue>, lines: &[Cow<'_, str>]) -> Option<usize> {
    let mut count = 0;
    for value in there {
        match lines.get(count) {
            Some(line) if same(value.as_bytes(), line) => count += 1,
            _ => return Some(0),
        }
    }
    if count == lines.len() { None } else { Some(count) }
}
