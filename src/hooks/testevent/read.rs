//! Read: an event file as AWS's console and documentation have them.
//!
//! In: the JSON of a Lambda@Edge or a CloudFront Functions event; what is missing of its request gets a default. Out: an exchange and the
//! contract whose event it was. Never: a doubt passed over; a member of the wrong kind is an error that names it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use serde_json::{Map, Value};

use crate::hooks::exchange::{Body, Exchange, Origin, Request, Response, Site};
use crate::hooks::{Api, Event, Who, valid};

use super::TestEventError;

/// What an event file does not say.
#[derive(Debug, Clone)]
pub struct Given {
    /// Names and mode; the domain and the distribution are the file's where it names them.
    pub site: Site,
    /// Counts more than the file's.
    pub event: Option<Event>,
    /// What a file without an event type may be: the only one of them; else one that has a response when the file has one and none when it
    /// has none, at the viewer before at the origin. None: as if all.
    pub among: Vec<Event>,
    /// The call's clock, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// The viewer of a file that names none (RFC 5737).
const VIEWER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
/// The request id of a file that has none.
const REQUEST_ID: &str = "EXAMPLE-test-event==";

type Wrong = TestEventError;

/// One member and where it is.
#[derive(Clone, Copy)]
struct At<'v> {
    value: &'v Value,
    place: &'v str,
}

pub fn read(text: &str, given: Given) -> Result<(Exchange, Api), Wrong> {
    // RFC 8259 §8.1: a byte order mark may be ignored.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root: Value = serde_json::from_str(text).map_err(|why| Wrong::Json(why.to_string()))?;
    let (api, cf, place) = match root.get("Records") {
        Some(records) => {
            let cf = records.get(0).and_then(|record| record.get("cf"));
            let cf = cf.ok_or_else(|| Wrong::member("Records", "needs one record with \"cf\""))?;
            (Api::LambdaEdge, cf, "Records[0].cf")
        }
        None => (Api::CloudFront, &root, ""),
    };
    let cf = At { value: cf, place };
    let about = cf.object(if api == Api::CloudFront { "context" } else { "config" })?;
    let text = |name: &str| about.and_then(|about| about.get(name)).and_then(Value::as_str);
    let event = match (given.event, text("eventType")) {
        (Some(event), _) => event,
        (None, Some(name)) => name.parse().map_err(|words: String| Wrong::member("eventType", words))?,
        (None, None) => likely(cf.value.get("response").is_some(), &given.among),
    };
    let mut site = given.site;
    if let Some(domain) = text("distributionDomainName") {
        domain.clone_into(&mut site.domain);
    }
    if let Some(id) = text("distributionId") {
        id.clone_into(&mut site.distribution);
    }
    let request = request(api, cf)?;
    site.include_body |= request.body.is_some();
    let (site, id) = (Arc::new(site), text("requestId").unwrap_or(REQUEST_ID));
    if event.is_request() {
        return Ok((Exchange::request(event, &site, id, given.now_ms, request), api));
    }
    let response = response(api, cf)?;
    Ok((Exchange::response(event, &site, id, given.now_ms, request, response), api))
}

/// Which of `among` has a response, or has none.
fn likely(response: bool, among: &[Event]) -> Event {
    let viewers = if response { Event::ViewerResponse } else { Event::ViewerRequest };
    match among {
        [only] => *only,
        among if among.contains(&viewers) => viewers,
        among => among.iter().copied().find(|event| event.is_request() != response).unwrap_or(viewers),
    }
}

fn request(api: Api, cf: At<'_>) -> Result<Request, Wrong> {
    let value = cf.object("request")?.ok_or_else(|| {
        let words = "is missing, and every event of the edge has one; \"Records[0].cf.request\" is Lambda@Edge's";
        Wrong::member(cf.place("request"), words)
    })?;
    let request = At { value, place: "request" };
    let ip = match api {
        Api::CloudFront => cf.value.get("viewer").and_then(|viewer| viewer.get("ip")),
        _ => value.get("clientIp"),
    };
    let client_ip = match ip.and_then(Value::as_str) {
        Some(text) => text.parse().map_err(|_| Wrong::member("clientIp", format!("{text} is no address")))?,
        None => VIEWER,
    };
    let principal = match api {
        Api::CloudFront => cf.value.get("viewer").and_then(|viewer| viewer.get("principal")),
        _ => cf.value.get("principal"),
    };
    let wrong = || Wrong::member("principal", "is not what events have there");
    let who = principal.map(|value| Who::read(value).map(Arc::new).ok_or_else(wrong)).transpose()?;
    let uri = request.text("uri")?.unwrap_or("/");
    if !valid::path(uri) {
        return Err(Wrong::member("request.uri", "must begin with \"/\" and hold no space, \"?\" or \"#\""));
    }
    let method = request.text("method")?.unwrap_or("GET");
    let query = request.query()?;
    let mut headers = request.headers(api)?;
    if let Some(cookies) = request.members("cookies")? {
        let pairs: Vec<String> = pairs(&cookies, "request.cookies")?.into_iter().map(|(pair, _)| pair).collect();
        if !pairs.is_empty() {
            push(&mut headers, "cookie", &pairs.join("; "), "request.cookies")?;
        }
    }
    Ok(Request {
        method: method.parse::<Method>().map_err(|_| Wrong::member("request.method", "is no method"))?,
        uri: uri.to_owned(),
        has_query: !query.is_empty(),
        query,
        client_ip,
        server_ip: None,
        who,
        version: Version::HTTP_11,
        tls: true,
        headers,
        body: request.body()?,
        origin: request.origin()?,
    })
}

fn response(api: Api, cf: At<'_>) -> Result<Response, Wrong> {
    let none = Value::Object(Map::new());
    let response = At { value: cf.object("response")?.unwrap_or(&none), place: "response" };
    let name = if api == Api::CloudFront { "statusCode" } else { "status" };
    let status = match response.value.get(name) {
        None | Some(Value::Null) => Some(StatusCode::OK),
        Some(Value::String(text)) => text.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok()),
        Some(other) => other.as_u64().and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok()),
    };
    let status = status.ok_or_else(|| Wrong::member(format!("response.{name}"), "is no status"))?;
    let mut headers = response.headers(api)?;
    if let Some(cookies) = response.members("cookies")? {
        for (pair, attributes) in pairs(&cookies, "response.cookies")? {
            let line = if attributes.is_empty() { pair } else { format!("{pair}; {attributes}") };
            push(&mut headers, "set-cookie", &line, "response.cookies")?;
        }
    }
    Ok(Response { status, headers, body: None })
}

// === impl At ===
impl<'v> At<'v> {
    fn place(self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn object(self, name: &str) -> Result<Option<&'v Value>, Wrong> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(value)),
            Some(_) => Err(Wrong::member(self.place(name), "must be an object")),
        }
    }

    fn text(self, name: &str) -> Result<Option<&'v str>, Wrong> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong::member(self.place(name), "must be a string")),
        }
    }

    fn number(self, name: &str, otherwise: u64) -> Result<u64, Wrong> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(value) => value.as_u64().ok_or_else(|| Wrong::member(self.place(name), "must be a whole number")),
        }
    }

    /// `{"name": {"value", "multiValue"}}`: name, value and attributes of each.
    fn members(self, name: &str) -> Result<Option<Vec<(&'v str, &'v Value)>>, Wrong> {
        let Some(Value::Object(map)) = self.object(name)? else { return Ok(None) };
        let mut all = Vec::new();
        for (name, value) in map {
            // The samples' test files spell it with a small v.
            let many = value.get("multiValue").or_else(|| value.get("multivalue")).and_then(Value::as_array);
            match many.filter(|list| !list.is_empty()) {
                Some(list) => all.extend(list.iter().map(|value| (name.as_str(), value))),
                None => all.push((name, value)),
            }
        }
        Ok(Some(all))
    }

    fn headers(self, api: Api) -> Result<HeaderMap, Wrong> {
        let mut headers = HeaderMap::new();
        let place = self.place("headers");
        if api == Api::CloudFront {
            for (name, value) in self.members("headers")?.unwrap_or_default() {
                push(&mut headers, name, value_of(value, name, &place)?, &place)?;
            }
            return Ok(headers);
        }
        let Some(Value::Object(map)) = self.object("headers")? else { return Ok(headers) };
        for (name, list) in map {
            let list = list.as_array().ok_or_else(|| Wrong::member(format!("{place}.{name}"), "must be an array"))?;
            for line in list {
                push(&mut headers, name, value_of(line, name, &place)?, &place)?;
            }
        }
        Ok(headers)
    }

    fn query(self) -> Result<String, Wrong> {
        let query = match self.value.get("querystring") {
            Some(Value::String(text)) => text.clone(),
            _ => {
                let members = self.members("querystring")?.unwrap_or_default();
                let pairs = pairs(&members, "request.querystring")?.into_iter().map(|(pair, _)| pair);
                pairs.collect::<Vec<_>>().join("&")
            }
        };
        match valid::query(&query) {
            true => Ok(query),
            false => Err(Wrong::member("request.querystring", "must hold no space, control character or \"#\"")),
        }
    }

    fn body(self) -> Result<Option<Body>, Wrong> {
        let Some(value) = self.object("body")? else { return Ok(None) };
        let body = At { value, place: "request.body" };
        let data = body.text("data")?.unwrap_or_default();
        let data = match body.text("encoding")?.unwrap_or("base64") {
            "text" => Bytes::copy_from_slice(data.as_bytes()),
            "base64" => {
                let data = STANDARD.decode(data);
                data.map_err(|_| Wrong::member("request.body.data", "is no base64"))?.into()
            }
            _ => return Err(Wrong::member("request.body.encoding", "must be \"text\" or \"base64\"")),
        };
        Ok(Some(Body { data, truncated: value.get("inputTruncated") == Some(&Value::Bool(true)) }))
    }

    fn origin(self) -> Result<Option<Origin>, Wrong> {
        let Some(origin) = self.object("origin")? else { return Ok(None) };
        let origin = At { value: origin, place: "request.origin" };
        let (value, bucket) = match (origin.object("custom")?, origin.object("s3")?) {
            (Some(custom), _) => (custom, false),
            (None, Some(s3)) => (s3, true),
            (None, None) => return Err(Wrong::member("request.origin", "must have \"custom\" or \"s3\"")),
        };
        let own = At { value, place: if bucket { "request.origin.s3" } else { "request.origin.custom" } };
        let tls = bucket || own.text("protocol")?.unwrap_or("https") == "https";
        let port = own.number("port", if tls { 443 } else { 80 })?;
        let lines = At { value, place: own.place };
        let headers = match lines.object("customHeaders")? {
            Some(map) => {
                let map = serde_json::json!({ "headers": map });
                At { value: &map, place: own.place }.headers(Api::LambdaEdge)?
            }
            None => HeaderMap::new(),
        };
        Ok(Some(Origin {
            name: "test".to_owned(),
            host: own.text("domainName")?.unwrap_or("origin.test").to_owned(),
            port: u16::try_from(port).map_err(|_| Wrong::member(own.place("port"), "is no port"))?,
            tls,
            path: own.text("path")?.unwrap_or_default().to_owned(),
            read_timeout: Duration::from_secs(own.number("readTimeout", 30)?),
            keepalive_timeout: Duration::from_secs(own.number("keepaliveTimeout", 5)?),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            signed: bucket && own.text("authMethod")? == Some("origin-access-identity"),
        }))
    }
}

/// The `value` of one occurrence.
fn value_of<'v>(value: &'v Value, name: &str, place: &str) -> Result<&'v str, Wrong> {
    let text = value.get("value").and_then(Value::as_str);
    text.ok_or_else(|| Wrong::member(format!("{place}.{name}"), "needs a string \"value\""))
}

/// `name=value` and the attributes of each occurrence.
fn pairs(members: &[(&str, &Value)], place: &str) -> Result<Vec<(String, String)>, Wrong> {
    let pair = |(name, value): &(&str, &Value)| {
        let attributes = value.get("attributes").and_then(Value::as_str).unwrap_or_default();
        Ok((format!("{name}={}", value_of(value, name, place)?), attributes.to_owned()))
    };
    members.iter().map(pair).collect()
}

fn push(headers: &mut HeaderMap, name: &str, value: &str, place: &str) -> Result<(), Wrong> {
    let wrong = || Wrong::member(format!("{place}.{name}"), "is no valid header");
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
    headers.try_append(key, value).map_err(|_| wrong())?;
    Ok(())
}
