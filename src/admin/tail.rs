//! Tail: requests as they end, and one of them explained.
//!
//! In: a filter, or an id. Out: `GET /tail` as server-sent events, `GET /requests/ID`. Never: a line that was not asked for, a reader that
//! holds the PoP up.

use super::AdminState;
use super::answer::Refused;
use super::explain::{Step, steps};
use crate::observe::recent::{Crowded, Filter, FilterError, Follow};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use std::convert::Infallible;
use std::time::Duration;

/// A tail without requests says this often that it lives; a reader that went away is noticed then.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Answer of `GET /requests/ID`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The request's line, as the access log has it, and a little more.
    pub request: Value,
    /// What became of it, in order.
    pub steps: Vec<Step>,
}

/// Events: `request`, the data of which is one request's line, and `skipped`, the number of requests that matched and are not shown.
pub async fn tail(
    State(state): State<AdminState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Refused> {
    let filter = Filter::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    let follow = state.requests.follow(filter)?;
    let kind = HeaderValue::from_static("text/event-stream");
    let fields = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    // The head goes out at once: whoever asked knows from when on requests are shown.
    let events = futures::stream::unfold((follow, true), |(mut follow, first)| async move {
        let event = if first { Bytes::from_static(b": follows\n\n") } else { next(&mut follow).await };
        Some((Ok::<_, Infallible>(event), (follow, false)))
    });
    Ok((fields, Body::from_stream(events)).into_response())
}

pub async fn request(State(state): State<AdminState>, Path(id): Path<String>) -> Result<Json<Explained>, Refused> {
    let line = state.requests.find(&id).ok_or_else(|| {
        let hint = "only the newest requests are kept (observe.recent), and of very many only a part; ask the PoP that x-amz-cf-pop names";
        Refused::new(StatusCode::NOT_FOUND, format!("there is no request {id:?} in memory"), hint)
    })?;
    let request: Value = serde_json::from_slice(&line).map_err(|error| {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "this is a bug: please report it")
    })?;
    let steps = steps(&request, &(state.config)());
    Ok(Json(Explained { request, steps }))
}

/// The next event, or a comment when there is none for a while.
async fn next(follow: &mut Follow) -> Bytes {
    let Ok((line, skipped)) = tokio::time::timeout(HEARTBEAT, follow.next()).await else {
        return Bytes::from_static(b": lives\n\n");
    };
    // A line of the log has no line break but its last.
    let mut event = Vec::with_capacity(line.len() + 64);
    if skipped > 0 {
        event.extend_from_slice(format!("event: skipped\ndata: {skipped}\n\n").as_bytes());
    }
    event.extend_from_slice(b"event: request\ndata: ");
    event.extend_from_slice(&line);
    event.push(b'\n');
    Bytes::from(event)
}

impl From<FilterError> for Refused {
    fn from(error: FilterError) -> Self {
        let hint = "like /tail?host=shop.example&path=/img/&status=5xx&cache=miss&function=auth&min_ms=100&pop=FRA";
        Refused::new(StatusCode::BAD_REQUEST, error.to_string(), hint)
    }
}

impl From<Crowded> for Refused {
    fn from(error: Crowded) -> Self {
        Refused::new(StatusCode::TOO_MANY_REQUESTS, error.to_string(), "close one of them")
    }
}

#[cfg(test)]
mod tests {
    use crate::admin::fixture::Pop;
    use crate::observe::Outcome;
    use crate::observe::record::{Record, sample};
    use serde_json::{Value, json};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    /// Lines of a tail, once it follows.
    fn tail(pop: &Pop, query: &str) -> impl Iterator<Item = String> {
        let mut stream = TcpStream::connect(pop.address).unwrap();
        write!(stream, "GET /tail{query} HTTP/1.1\r\nhost: {}\r\n\r\n", pop.address).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with(": follows")));
        lines
    }

    #[test]
    fn those_that_match_are_shown_as_they_end() {
        let pop = Pop::start(None);
        let mut lines = tail(&pop, "?cache=miss");
        let finish = |id: &str, cache| {
            pop.requests.finish(&Record { request_id: id, cache, ..sample(pop.metrics.unrouted()) });
        };
        finish("a", Outcome::Hit);
        finish("b", Outcome::Miss);
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        let value: Value = serde_json::from_str(&data).unwrap();
        assert_eq!((&value["id"], &value["cache"]), (&json!("b"), &json!("miss")));
    }

    #[test]
    fn one_request_is_explained() {
        let pop = Pop::start(None);
        pop.requests.finish(&sample(pop.metrics.unrouted()));
        let (status, text) = pop.ask("GET", "/requests/id-1", None, "");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &value["request"]["host"]), (200, &json!("shop.example")));
        assert!(value["steps"].as_array().is_some_and(|steps| steps.len() > 3), "{text}");
        let (status, text) = pop.ask("GET", "/requests/unknown", None, "");
        assert_eq!(status, 404);
        assert!(text.contains("observe.recent"), "{text}");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let pop = Pop::start(None);
        let (status, text) = pop.ask("GET", "/tail?status=hot", None, "");
        assert_eq!(status, 400);
        assert!(text.contains("5xx"), "{text}");
        let guarded = Pop::start(Some("s3cret"));
        for path in ["/tail", "/requests/id-1", "/fleet", "/functions"] {
            assert_eq!(guarded.ask("GET", path, None, "").0, 401, "{path}");
        }
    }
}
