//! Requests: what handlers ask of other servers, and what interrupts them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rimward::config::compiled::{FetchGrant, FetchHost, Flavor, Grants};
use serde_json::{Value, json};

use crate::bench::{Bench, text};
use crate::lambda::ask;

/// A server that says what it was sent (`/echo`), sends elsewhere (`/to/STATUS/URL`), or says nothing (`/silent`).
struct Server {
    address: SocketAddr,
    /// Request lines, without the version.
    heard: Arc<Mutex<Vec<String>>>,
}

// === impl Server ===
impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Server { address, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>) {
    let Some((line, fields, body)) = read(&mut stream) else { return };
    heard.lock().push(line.clone());
    let (_, path) = line.split_once(' ').unwrap();
    if path == "/silent" {
        // Until whoever asked has gone.
        _ = stream.read(&mut [0]);
        return;
    }
    let (status, location) = match path.strip_prefix("/to/").and_then(|to| to.split_once('/')) {
        Some((status, url)) => (status, format!("location: {url}\r\n")),
        None => ("200", String::new()),
    };
    let said = json!({"line": line, "fields": fields, "body": body}).to_string();
    let length = said.len();
    let head = format!("{location}x-a: 1\r\nx-a: 2\r\nconnection: close\r\ncontent-length: {length}");
    // Nobody may be there any more.
    _ = write!(stream, "HTTP/1.1 {status} X\r\n{head}\r\n\r\n{said}");
}

/// The request's line, its fields by lower-case name, and its body. `None`: it ends early.
fn read(stream: &mut TcpStream) -> Option<(String, Value, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let sent = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = sent.split_once("\r\n\r\n") else { continue };
        let (line, fields) = head.split_once("\r\n").unwrap();
        let pairs = fields.lines().filter_map(|field| field.split_once(": "));
        let fields: serde_json::Map<_, _> =
            pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.into())).collect();
        let length = fields.get("content-length").map_or("0", |length| length.as_str().unwrap()).parse().unwrap();
        if body.len() >= length {
            return Some((line.trim_end_matches(" HTTP/1.1").to_owned(), Value::Object(fields), body.to_owned()));
        }
    }
}

/// A handler with this body, which may ask at these addresses.
fn bench(body: &str, addresses: &[SocketAddr]) -> Bench {
    let allow = |address: &SocketAddr| FetchHost { pattern: "127.0.0.1".into(), port: Some(address.port()) };
    let grants = Grants {
        fetch: Some(FetchGrant {
            allow: addresses.iter().map(allow).collect(),
            private: vec!["127.0.0.0/8".parse().unwrap()],
            timeout: Duration::from_secs(20),
            requests: 8,
            body: 1 << 20,
        }),
        ..Grants::default()
    };
    let source = format!("{HEAD}\nexports.handler = async (event) => {{ {body} }};");
    Bench::granted(&text("index.js", &source), Flavor::LambdaEdge, 4, grants)
}

const HEAD: &str = "const http = require('http');
const sleep = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
const heard = (req) => new Promise((resolve) => {
    const log = [];
    for (const name of ['response', 'timeout', 'error', 'close']) {
        req.on(name, (e) => { log.push(e?.message ? [name, e.message, e.code ?? null] : name); if (name === 'close') resolve(log); });
    }
});
const answer = (req) => new Promise((resolve, reject) => {
    req.on('error', reject);
    req.on('response', (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => resolve([res.statusCode, res.headers['x-a'], JSON.parse(text)]));
    });
});";

// --- timers

#[tokio::test]
async fn timers_interrupt_requests() {
    let server = Server::new();
    let event = json!({"silent": server.url("/silent"), "echo": server.url("/echo")});
    for (body, want) in [
        (
            "const c = new AbortController(); setTimeout(() => c.abort(), 30);
             try { return (await fetch(event.silent, { signal: c.signal })).status; } catch (e) { return e.name; }",
            json!("AbortError"),
        ),
        ("return Promise.race([fetch(event.silent), sleep(30, 'fallback')]);", json!("fallback")),
        (
            "try { return (await fetch(event.silent, { signal: AbortSignal.timeout(30) })).status; } catch (e) { return e.name; }",
            json!("TimeoutError"),
        ),
        (
            "try { await fetch(event.silent, { signal: AbortSignal.any([AbortSignal.timeout(30), new AbortController().signal]) }); }
             catch (e) { return e.name; }",
            json!("TimeoutError"),
        ),
        (
            "const req = http.get(event.silent), log = heard(req); setTimeout(() => req.destroy(new Error('slow')), 30); return log;",
            json!([["error", "slow", null], "close"]),
        ),
        (
            "const req = http.get(event.silent), log = heard(req); setTimeout(() => req.destroy(), 30); return log;",
            json!([["error", "socket hang up", "ECONNRESET"], "close"]),
        ),
        // What is answered in time is not cut short, whatever else is due later.
        ("return Promise.race([fetch(event.echo).then((r) => r.status), sleep(20000, 'late')]);", json!(200)),
        ("return Promise.race([fetch(event.silent), fetch(event.echo).then((r) => r.status)]);", json!(200)),
        (
            "let done = 0; fetch(event.echo).then(() => { done = 1; });
             while (!done) await new Promise(setImmediate);
             return done;",
            json!(1),
        ),
        // Of the time that a request took, nothing is left for the next.
        (
            "const order = []; sleep(60).then(() => order.push('second'));
             await Promise.race([fetch(event.silent), sleep(30)]); order.push('first');
             await Promise.race([fetch(event.silent), sleep(40)]);
             return order;",
            json!(["first", "second"]),
        ),
        // Without a request there is nothing to wait for.
        ("await sleep(1e9); return 'over';", json!("over")),
    ] {
        let bench = bench(body, &[server.address]);
        // Twice: what a call left behind is not the next one's.
        for _ in 0..2 {
            assert_eq!(ask(&bench, &event).await, Ok(want.clone()), "{body}");
        }
    }
}

#[tokio::test]
async fn an_interrupted_request_is_sent_once() {
    let server = Server::new();
    let body = "let ticks = 0;
        const all = [fetch(event.silent, { signal: AbortSignal.timeout(60) }).catch((e) => e.name), fetch(event.echo, { method: 'POST', body: 'x' })];
        const timer = setInterval(() => { ticks++; }, 5);
        const [first, second] = await Promise.all(all);
        clearInterval(timer);
        return [first, (await second.json()).line, ticks > 0];";
    let event = json!({"silent": server.url("/silent"), "echo": server.url("/echo")});
    let got = ask(&bench(body, &[server.address]), &event).await;
    assert_eq!(got, Ok(json!(["TimeoutError", "POST /echo", true])));
    // The one that was given up may have been too early to be heard.
    let heard = server.heard.lock().clone();
    let times = |line: &str| heard.iter().filter(|one| *one == line).count();
    assert!(times("POST /echo") == 1 && times("GET /silent") <= 1, "{heard:?}");
}

// --- http

#[tokio::test]
async fn http_requests_as_in_node() {
    let server = Server::new();
    let (host, port) = (server.address.ip().to_string(), server.address.port());
    let event = json!({"host": host, "port": port, "url": server.url("/echo"), "silent": server.url("/silent")});
    let own = format!("{host}:{port}");
    for (body, want) in [
        (
            "const [status, a, sent] = await answer(http.get({ host: event.host, port: event.port, path: '/echo?q=1', headers: { 'X-B': ['1', '2'] } }));
             return [status, a, sent.line, sent.fields['x-b'], sent.fields.host];",
            json!([200, "1, 2", "GET /echo?q=1", "2", own]),
        ),
        (
            "const req = http.request(event.url, { method: 'PUT', auth: 'a:b', headers: { 'Content-Type': 'text/plain', Host: `${event.host}:${event.port}` } });
             const got = answer(req); req.write('one '); req.end('two');
             const [status, , sent] = await got;
             return [status, sent.line, sent.body, sent.fields['content-type'], sent.fields['content-length'], sent.fields.authorization];",
            json!([200, "PUT /echo", "one two", "text/plain", "7", "Basic YTpi"]),
        ),
        (
            "const req = http.get(event.url), log = heard(req); req.on('response', (res) => res.resume()); return log;",
            json!(["response", "close"]),
        ),
        (
            "const req = http.get(event.silent, { timeout: 30 }); req.on('timeout', () => req.destroy(new Error('slow'))); return heard(req);",
            json!(["timeout", ["error", "slow", null], "close"]),
        ),
        (
            "return (await heard(http.get({ ...event, port: event.port, host: 'other.example' })))[0][1].split(' ')[0];",
            json!("denied:"),
        ),
    ] {
        assert_eq!(ask(&bench(body, &[server.address]), &event).await, Ok(want), "{body}");
    }
    // A port that nobody listens on.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = "const [name, , code] = (await heard(http.get(event)))[0]; return [name, code];";
    let got = ask(&bench(body, &[gone]), &json!({"host": "127.0.0.1", "port": gone.port()})).await;
    assert_eq!(got, Ok(json!(["error", "ECONNREFUSED"])));
}

/// It went on to the URL's own virtual host, without a word.
#[tokio::test]
async fn another_host_is_refused_and_not_dropped() {
    let server = Server::new();
    let event = json!({"url": server.url("/echo")});
    for body in [
        "return (await heard(http.get(event.url, { headers: { Host: 'other.example' } })))[0][1];",
        "try { await fetch(event.url, { headers: { host: 'other.example' } }); } catch (e) { return e.cause.message; }",
    ] {
        let got = ask(&bench(body, &[server.address]), &event).await;
        assert_eq!(got, Ok(json!("invalid: Host has to be that of the URL")), "{body}");
    }
    assert_eq!(*server.heard.lock(), [""; 0]);
}

// --- fetch

#[tokio::test]
async fn a_redirect_elsewhere_drops_credentials() {
    let (here, there) = (Server::new(), Server::new());
    let body = "const r = await fetch(event.url, { method: event.method, body: event.body, headers: { Authorization: 'Bearer t', Cookie: 'a=1', 'X-B': 'b' } });
        const { line, fields, body } = await r.json();
        return [r.status, r.redirected, r.url, line, fields.authorization ?? null, fields.cookie ?? null, fields['x-b'], body];";
    let bench = bench(body, &[here.address, there.address]);
    let (same, other) = (here.url("/echo"), there.url("/echo"));
    for (url, method, sent, want) in [
        (here.url(&format!("/to/302/{other}")), "GET", None, json!([other, "GET /echo", null, null, "b", ""])),
        (here.url(&format!("/to/301/{same}")), "GET", None, json!([same, "GET /echo", "Bearer t", "a=1", "b", ""])),
        // By way of the first server they are not given back.
        (
            here.url(&format!("/to/302/{}", there.url(&format!("/to/302/{same}")))),
            "GET",
            None,
            json!([same, "GET /echo", null, null, "b", ""]),
        ),
        (here.url(&format!("/to/307/{other}")), "POST", Some("x"), json!([other, "POST /echo", null, null, "b", "x"])),
        (here.url(&format!("/to/303/{other}")), "POST", Some("x"), json!([other, "GET /echo", null, null, "b", ""])),
    ] {
        let got = ask(&bench, &json!({"url": url, "method": method, "body": sent})).await.unwrap();
        assert_eq!((&got[0], &got[1]), (&json!(200), &json!(true)), "{url}");
        assert_eq!(got.as_array().unwrap()[2..], want.as_array().unwrap()[..], "{url}");
    }
}
