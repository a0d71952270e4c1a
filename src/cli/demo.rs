//! Demo: the origin behind `rimward dev`.
//!
//! In: requests of the PoP. Out: a page, a clock, a slow answer, a stream, what it was asked, each with the headers that show a cache at work.
//! Never: reached from another machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

/// How long `/slow` thinks.
const SLOW: Duration = Duration::from_secs(2);

/// Starts the origin on a free loopback port, on a thread of its own; it ends with the process.
pub fn start() -> std::io::Result<SocketAddr> {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-origin".to_owned()).spawn(move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => {
                    if let Err(error) = axum::serve(socket, router()).await {
                        log::error!("the demo origin ended: {error}");
                    }
                }
                Err(error) => log::error!("the demo origin could not start: {error}"),
            }
        });
    })?;
    Ok(address)
}

fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/clock", get(clock))
        .route("/slow", get(slow))
        .route("/private", get(private))
        .route("/stream", get(stream))
        .fallback(asked)
}

/// What the origin was asked: shows what functions made of a request.
async fn asked(request: Request) -> impl IntoResponse {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    ([(CACHE_CONTROL.as_str(), "no-store"), (CONTENT_TYPE.as_str(), "text/plain")], text)
}

async fn page() -> impl IntoResponse {
    let fields = [
        (CACHE_CONTROL.as_str(), "max-age=60, stale-while-revalidate=30"),
        ("surrogate-key", "demo page"),
        (ETAG.as_str(), "\"demo-1\""),
    ];
    (
        fields,
        Html("<!doctype html><title>Rimward</title><h1>It serves.</h1><p>Ask again: the second answer is a hit.</p>\n"),
    )
}

/// Counts how often the origin was asked: a hit repeats the number.
async fn clock() -> impl IntoResponse {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let fields = [
        (CACHE_CONTROL.as_str(), "max-age=10"),
        (CONTENT_TYPE.as_str(), "text/plain"),
        ("surrogate-key", "demo clock"),
    ];
    (fields, format!("asked {asked} times, at second {now}\n"))
}

async fn slow() -> impl IntoResponse {
    tokio::time::sleep(SLOW).await;
    ([(CACHE_CONTROL.as_str(), "max-age=30")], "this took two seconds, once\n")
}

async fn private() -> impl IntoResponse {
    ([(CACHE_CONTROL.as_str(), "private")], "never stored\n")
}

/// Server-sent events, one a second, ten of them.
async fn stream() -> impl IntoResponse {
    let events = futures::stream::unfold(0u32, |n| async move {
        if n == 10 {
            return None;
        }
        if n > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok::<_, Infallible>(format!("data: event {n}\n\n")), n + 1))
    });
    ([(CACHE_CONTROL.as_str(), "no-store"), (CONTENT_TYPE.as_str(), "text/event-stream")], Body::from_stream(events))
}
