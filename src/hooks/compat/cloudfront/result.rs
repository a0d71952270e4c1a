//! Result: what a CloudFront Function returned, as edits.
//!
//! In: the guest's envelope `{"result", "origin"}`. Out: edits of the exchange, or a failure that names the member. Never: a
//! repair.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{COOKIE, HeaderName, SET_COOKIE};

use crate::config::compiled::Mode;
use crate::hooks::exchange::{EditError, Exchange};
use crate::hooks::failure::Failure;

use super::super::answer;
use super::super::error::{invalid, no_object, property, quote, wrong_kind};
use super::super::fields::{self, Section, Wanted};
use super::super::lambda::{object, retarget, scalar};
use super::super::parse::{Flaw, Map, Member, Node, Read, Reader};
use super::super::{Warnings, write};
use super::event::{lines_of, listed};
use super::{origin, pairs};

/// What the guest returns: the handler's result, and what it asked of the `cf` module.
#[derive(Debug, Default)]
struct Envelope<'a> {
    /// `None`: nothing, or no object.
    result: Option<Returned<'a>>,
    origin: Node<'a>,
}

/// A request or a response: the members of both.
#[derive(Debug, Default)]
struct Returned<'a> {
    method: Node<'a>,
    uri: Node<'a>,
    querystring: Map<'a, Member<'a>>,
    headers: Map<'a, Member<'a>>,
    cookies: Map<'a, Member<'a>>,
    status_code: Node<'a>,
    status_description: Node<'a>,
    body: Node<'a>,
    body_encoding: Node<'a>,
}

impl<'a> Read<'a> for Envelope<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut envelope = Envelope::default();
        reader.object(|reader, name| {
            match &*name {
                "result" if reader.peek() == b'{' => envelope.result = Some(Returned::read(reader)?),
                "origin" => envelope.origin = Node::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(envelope)
    }
}

impl<'a> Read<'a> for Returned<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Flaw> {
        let mut returned = Returned::default();
        reader.object(|reader, name| {
            match &*name {
                "method" => returned.method = Node::read(reader)?,
                "uri" => returned.uri = Node::read(reader)?,
                "querystring" => returned.querystring = Map::read(reader)?,
                "headers" => returned.headers = Map::read(reader)?,
                "cookies" => returned.cookies = Map::read(reader)?,
                "statusCode" => returned.status_code = Node::read(reader)?,
                "statusDescription" => returned.status_description = Node::read(reader)?,
                "body" => returned.body = Node::read(reader)?,
                "bodyEncoding" => returned.body_encoding = Node::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(returned)
    }
}

pub fn accept(exchange: &mut Exchange, result: &str, warnings: &mut Warnings) -> Result<(), Failure> {
    let envelope: Envelope<'_> = object(result)?;
    let Some(returned) = &envelope.result else {
        return Err(no_object("the JSON output must be an object type"));
    };
    let strict = exchange.site.mode == Mode::Strict;
    match (exchange.event.is_request(), returned.status_code.given()) {
        (true, false) => {
            request(exchange, returned, strict)?;
            origin::accept(exchange, &envelope.origin, warnings)
        }
        (true, true) => {
            let status = status(&returned.status_code, None, strict)?;
            description(&returned.status_description)?;
            let lines = section(&returned.headers, &returned.cookies, strict)?;
            let body = body(exchange, returned)?;
            answer::respond(exchange, status, &lines, body)
        }
        (false, true) => response(exchange, returned, strict),
        (false, false) if returned.uri.given() || returned.method.given() => {
            Err(invalid(format_args!("a request was returned in the {} event", exchange.event)))
        }
        (false, false) => Err(wrong_kind("statusCode", "a number", &Node::Absent)),
    }
}

fn status(node: &Node<'_>, now: Option<u16>, strict: bool) -> Result<u16, Failure> {
    if strict && !matches!(node, Node::Number(_)) {
        return Err(wrong_kind("statusCode", "a number", node));
    }
    answer::status("statusCode", node, now)
}

fn description(node: &Node<'_>) -> Result<(), Failure> {
    match node {
        Node::Absent | Node::Null | Node::Text(_) => Ok(()),
        other => Err(wrong_kind("statusDescription", "a string", other)),
    }
}

fn body(exchange: &Exchange, returned: &Returned<'_>) -> Result<Option<Bytes>, Failure> {
    answer::body(exchange, &returned.body, &returned.body_encoding)
}

fn request(exchange: &mut Exchange, returned: &Returned<'_>, strict: bool) -> Result<(), Failure> {
    let headers = !matches!(returned.headers, Map::Absent);
    if !returned.uri.given() && !returned.method.given() && !headers {
        return Err(invalid("it is neither a request (no \"uri\") nor a response (no \"statusCode\")"));
    }
    for (name, there) in [("uri", returned.uri.given()), ("method", returned.method.given()), ("headers", headers)] {
        if strict && !there {
            return Err(wrong_kind(name, "", &Node::Absent));
        }
    }
    match &returned.method {
        Node::Absent | Node::Null => {}
        Node::Text(method) if method == exchange.request.method.as_str() => {}
        Node::Text(_) => return Err(property(exchange.event, "method", EditError::ReadOnly)),
        other => return Err(wrong_kind("method", "a string", other)),
    }
    let uri = match &returned.uri {
        Node::Absent | Node::Null => None,
        Node::Text(uri) => Some(&**uri),
        other => return Err(wrong_kind("uri", "a string", other)),
    };
    let query = query(&exchange.request.query, &returned.querystring, strict)?;
    retarget(exchange, uri, query.as_deref())?;
    headers_of(exchange, &returned.headers, strict)?;
    let cookies = match cookies(exchange, &COOKIE, returned, strict)? {
        Some(all) if all.is_empty() => Vec::new(),
        Some(all) => vec![Cow::Owned(all.join("; "))],
        None => return Ok(()),
    };
    fields::replace(exchange, COOKIE.as_str(), &cookies)
}

fn response(exchange: &mut Exchange, returned: &Returned<'_>, strict: bool) -> Result<(), Failure> {
    let now = exchange.response.as_ref().map(|response| response.status.as_u16());
    let status = status(&returned.status_code, now, strict)?;
    description(&returned.status_description)?;
    let body = body(exchange, returned)?;
    headers_of(exchange, &returned.headers, strict)?;
    if let Some(all) = cookies(exchange, &SET_COOKIE, returned, strict)? {
        let lines: Vec<Cow<'_, str>> = all.into_iter().map(Cow::Owned).collect();
        fields::replace(exchange, SET_COOKIE.as_str(), &lines)?;
    }
    answer::update(exchange, "statusCode", status, body)
}

/// The query string wanted; `None` = the one there is. A string in the place of the object is taken as it is.
fn query<'a>(now: &str, map: &'a Map<'_, Member<'_>>, strict: bool) -> Result<Option<Cow<'a, str>>, Failure> {
    match map {
        Map::Absent => Ok(None),
        Map::Null => Ok(Some(Cow::Borrowed(""))),
        Map::Text(text) => Ok(Some(Cow::Borrowed(text))),
        Map::Wrong => Err(invalid("\"querystring\" must be an object or a string")),
        Map::Members(members) => {
            let groups = pairs::group(pairs::query(now));
            let all = pairs::merge("querystring", &groups, members, strict, false)?;
            Ok(all.map(|all| Cow::Owned(all.join("&"))))
        }
    }
}

/// The cookies wanted; `None` = those there are. They belong to the header section: a section without them has none.
fn cookies(
    exchange: &Exchange,
    name: &HeaderName,
    returned: &Returned<'_>,
    strict: bool,
) -> Result<Option<Vec<String>>, Failure> {
    let lines = lines_of(fields::of(exchange), name);
    let cookie = *name == COOKIE;
    let groups = if cookie {
        pairs::group(lines.iter().flat_map(|line| pairs::cookies(line)))
    } else {
        pairs::group(lines.iter().map(|line| pairs::set_cookie(line)))
    };
    let listed = given_as_field(&returned.headers, name, strict)?;
    let mut all = match &returned.cookies {
        Map::Members(members) => pairs::merge("cookies", &groups, members, strict, !cookie)?,
        Map::Absent if matches!(returned.headers, Map::Absent) => None,
        Map::Absent | Map::Null if lines.is_empty() => None,
        Map::Absent | Map::Null => Some(Vec::new()),
        Map::Text(_) | Map::Wrong => return Err(invalid("\"cookies\" must be an object")),
    };
    if !listed.is_empty() {
        let now = lines.iter().map(|line| line.clone().into_owned());
        all.get_or_insert_with(|| now.collect()).extend(listed);
    }
    Ok(all)
}

/// Cookies that a function put among the headers, where only extended mode takes them.
fn given_as_field(map: &Map<'_, Member<'_>>, name: &HeaderName, strict: bool) -> Result<Vec<String>, Failure> {
    let Map::Members(members) = map else { return Ok(Vec::new()) };
    let own = members.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
    let mut out = Vec::new();
    for (_, member) in own {
        if strict {
            return Err(invalid(format_args!("the header \"{name}\" belongs in \"cookies\"")));
        }
        out.extend(lines_wanted(name.as_str(), &[], member, strict)?.into_iter().map(Cow::into_owned));
    }
    Ok(out)
}

fn headers_of(exchange: &mut Exchange, map: &Map<'_, Member<'_>>, strict: bool) -> Result<(), Failure> {
    let members = match map {
        Map::Absent => return Ok(()),
        Map::Members(members) => members,
        _ => return Err(invalid("\"headers\" must be an object")),
    };
    fields::bounded(members.len())?;
    let mut all: Section<'_> = Vec::with_capacity(members.len());
    for (name, member) in members {
        let name = lower(name, strict)?;
        if !listed(&name) {
            continue;
        }
        let old: Wanted<'_> =
            fields::of(exchange).get_all(&*name).iter().map(|value| write::text(value.as_bytes())).collect();
        let wanted = lines_wanted(&name, &old, member, strict)?;
        all.push((name, wanted));
    }
    fields::apply(exchange, &all, listed)
}

fn lower<'a>(name: &'a str, strict: bool) -> Result<Cow<'a, str>, Failure> {
    match fields::lower(name) {
        Cow::Owned(_) if strict => Err(invalid(format_args!("the header {} must be lower-case", quote(name)))),
        name => Ok(name),
    }
}

/// A generated response's header section, cookies included.
fn section<'a>(
    headers: &'a Map<'_, Member<'_>>,
    cookies: &'a Map<'_, Member<'_>>,
    strict: bool,
) -> Result<Section<'a>, Failure> {
    let mut all = Section::new();
    match headers {
        Map::Absent | Map::Null => {}
        Map::Members(members) => {
            for (name, member) in members {
                let name = lower(name, strict)?;
                if strict && name == SET_COOKIE.as_str() {
                    return Err(invalid("the header \"set-cookie\" belongs in \"cookies\""));
                }
                let wanted = lines_wanted(&name, &[], member, strict)?;
                all.push((name, wanted));
            }
        }
        _ => return Err(invalid("\"headers\" must be an object")),
    }
    match cookies {
        Map::Absent | Map::Null => {}
        Map::Members(members) => {
            let lines = pairs::merge("cookies", &[], members, strict, true)?.unwrap_or_default();
            all.push((Cow::Borrowed("set-cookie"), lines.into_iter().map(Cow::Owned).collect()));
        }
        _ => return Err(invalid("\"cookies\" must be an object")),
    }
    Ok(all)
}

/// A field's lines: as for query parameters, `multiValue` first, then `value`.
fn lines_wanted<'a>(
    name: &str,
    old: &[Cow<'_, str>],
    member: &'a Member<'_>,
    strict: bool,
) -> Result<Wanted<'a>, Failure> {
    if member.wrong {
        return Err(invalid(format_args!("the header {} must be an object with \"value\"", quote(name))));
    }
    match &member.multi {
        Node::Absent | Node::Null => {}
        Node::List(list) => {
            let all: Wanted<'a> =
                list.iter().map(|one| scalar(name, one.get("value"), strict)).collect::<Result<_, _>>()?;
            let same = all.len() == old.len() && all.iter().zip(old).all(|(a, b)| a == b);
            if !same && (!all.is_empty() || !old.is_empty() || !member.value.given()) {
                return Ok(all);
            }
        }
        other => {
            let name = quote(name);
            return Err(invalid(format_args!(
                "\"multiValue\" of the header {name} must be an array, not {}",
                other.kind()
            )));
        }
    }
    let mut all = Wanted::new();
    all.push(scalar(name, &member.value, strict)?);
    all.extend(old.iter().skip(1).map(|line| Cow::Owned(line.clone().into_owned())));
    Ok(all)
}
