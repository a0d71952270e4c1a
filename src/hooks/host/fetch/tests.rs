//! Requests to real servers on this machine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::compiled::FetchHost;

/// What one server does with each request, by its path.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// One a connection that ended.
    ended: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>>,
}

// === impl Server ===
impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (end, ended) = mpsc::unbounded_channel();
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let end = end.clone();
                tokio::spawn(async move {
                    let _ = serve(stream).await;
                    let _ = end.send(());
                });
            }
        });
        Server { address, connections, ended: Arc::new(tokio::sync::Mutex::new(ended)) }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn get(&self, host: &str, path: &str) -> Outgoing {
        get(&format!("http://{host}:{}{path}", self.address.port()))
    }

    /// Allows this server by name and address.
    fn grant(&self) -> FetchGrant {
        let hosts = ["localhost", "app.localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"];
        let host = |pattern: &&str| FetchHost { pattern: (*pattern).to_owned(), port: Some(self.address.port()) };
        FetchGrant {
            allow: hosts.iter().map(host).collect(),
            private: vec!["127.0.0.0/8".parse().unwrap()],
            timeout: Duration::from_secs(10),
            requests: 10,
            body: 1000,
        }
    }
}

fn get(url: &str) -> Outgoing {
    Outgoing { method: "GET".into(), url: url.into(), ..Outgoing::default() }
}

/// Answers request after request. `/echo` answers with the request as it came.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut got = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut got).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8(got[..end].to_vec()).unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        while got.len() < end + length {
            stream.read_buf(&mut got).await?;
        }
        let body = String::from_utf8(got[end..end + length].to_vec()).unwrap();
        got.drain(..end + length);
        match head.split(' ').nth(1).unwrap() {
            "/echo" => {
                let text = format!("{head}{body}");
                let fields = "connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-a: 1\r\nx-a: 2";
                let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await?;
            }
            "/redirect" => {
                stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /echo\r\ncontent-length: 0\r\n\r\n").await?;
            }
            "/large" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n").await?,
            "/exact" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
                stream.write_all(&[b'x'; 1000]).await?;
            }
            "/chunks" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"64\r\n").await?;
                    stream.write_all(&[b'x'; 100]).await?;
                    stream.write_all(b"\r\n").await?;
                }
            }
            "/slow" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n").await?;
                loop {
                    stream.write_all(b"x").await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            "/short" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
                return stream.shutdown().await;
            }
            "/head" => {
                let field = format!("x-large: {}\r\n", "x".repeat(4000)).repeat(80);
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{field}\r\n").as_bytes()).await?;
            }
            // Nothing, until the client leaves.
            _ => {
                stream.read_buf(&mut got).await?;
            }
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(test);
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[test]
fn a_granted_host_is_asked_and_answers() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let outgoing = Outgoing {
            method: "POST".into(),
            headers: vec![
                ("Accept-Encoding".into(), b"gzip".to_vec()),
                ("Connection".into(), b"close, x-mine".to_vec()),
                ("X-Mine".into(), b"1".to_vec()),
                ("Transfer-Encoding".into(), b"chunked".to_vec()),
                ("Upgrade".into(), b"h2c".to_vec()),
                ("Expect".into(), b"100-continue".to_vec()),
                ("Content-Length".into(), b"5".to_vec()),
                ("Host".into(), format!("localhost:{}", server.address.port()).into_bytes()),
            ],
            body: "hello".into(),
            ..server.get("localhost", "/echo")
        };
        let got = fetcher.send(&server.grant(), outgoing, far()).await.unwrap();
        let port = server.address.port();
        let want = format!(
            "POST /echo HTTP/1.1\r\naccept-encoding: gzip\r\nhost: localhost:{port}\r\ncontent-length: 5\r\n\r\nhello"
        );
        assert_eq!(String::from_utf8_lossy(&got.body), want);
        let fields: Vec<_> =
            got.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!((got.status, fields.join(", ")), (200, format!("x-a: 1, x-a: 2, content-length: {}", want.len())));
    });
}

#[test]
fn what_is_not_granted_is_refused_before_a_connection() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let other_port = server.address.port() ^ 1;
        let public = FetchGrant { private: Vec::new(), ..server.grant() };
        let elsewhere = FetchGrant { private: vec!["10.0.0.0/8".parse().unwrap()], ..server.grant() };
        let anywhere = FetchGrant {
            allow: vec![FetchHost { pattern: "*".into(), port: Some(server.address.port()) }],
            ..public.clone()
        };
        for (name, grant, outgoing) in [
            ("host", &server.grant(), server.get("other.localhost", "/echo")),
            ("host with a dot", &server.grant(), server.get("localhost.", "/echo")),
            ("port", &server.grant(), get(&format!("http://localhost:{other_port}/"))),
            ("no port", &server.grant(), get("http://localhost/")),
            ("address", &public, server.get("127.0.0.1", "/echo")),
            ("v6 loopback", &public, server.get("[::1]", "/echo")),
            ("mapped", &public, server.get("[::ffff:127.0.0.1]", "/echo")),
            // Names that resolve to what may not be asked: rebinding.
            ("name of a private address", &public, server.get("localhost", "/echo")),
            ("below it", &public, server.get("app.LOCALHOST", "/echo")),
            ("other private addresses", &elsewhere, server.get("localhost", "/echo")),
            ("any host, not any address", &anywhere, server.get("127.0.0.1", "/echo")),
            ("the metadata service", &anywhere, server.get("169.254.169.254", "/latest/meta-data/")),
            ("this network", &anywhere, server.get("0.0.0.0", "/echo")),
        ] {
            let got = fetcher.send(grant, outgoing, far()).await;
            assert!(matches!(got, Err(HostError::Denied(_))), "{name}: {got:?}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn requests_that_are_no_requests() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let base = server.get("localhost", "/echo");
        let port = server.address.port();
        let with =
            |name: &str, value: &[u8]| Outgoing { headers: vec![(name.to_owned(), value.to_vec())], ..base.clone() };
        let to = |url: String| Outgoing { url, ..base.clone() };
        let by = |method: &str| Outgoing { method: method.to_owned(), ..base.clone() };
        for (name, outgoing, want) in [
            ("CRLF in a value", with("x", b"1\r\nhost: evil"), "invalid"),
            ("LF in a value", with("x", b"1\nb: 2"), "invalid"),
            ("NUL in a value", with("x", b"\0"), "invalid"),
            ("CRLF in a name", with("x: 1\r\ny", b""), "invalid"),
            ("space in a name", with("x y", b""), "invalid"),
            ("no name", with("", b"1"), "invalid"),
            ("another Host", with("Host", b"evil.example"), "invalid"),
            ("another Content-Length", with("Content-Length", b"7"), "invalid"),
            ("too many bytes of fields", with("x", &vec![b'x'; 70_000]), "too large"),
            ("too many fields", Outgoing { headers: vec![("x".into(), vec![]); 257], ..base.clone() }, "too large"),
            ("CRLF in a method", by("GET / HTTP/1.1\r\n"), "invalid"),
            ("tunnel", by("CONNECT"), "invalid"),
            ("trace", by("TRACE"), "invalid"),
            ("no method", by(""), "invalid"),
            ("relative", to("/echo".into()), "invalid"),
            ("other scheme", to(format!("ftp://localhost:{port}/")), "invalid"),
            ("file", to("file:///etc/passwd".into()), "invalid"),
            ("user", to(format!("http://localhost:{port}@evil.example/")), "invalid"),
            ("space", to(format!("http://localhost:{port}/ HTTP/1.1")), "invalid"),
            ("CRLF in a URL", to(format!("http://localhost:{port}/\r\nx: 1")), "invalid"),
            ("empty port", to("http://localhost:/".into()), "invalid"),
            ("port 0", to("http://localhost:0/".into()), "invalid"),
            ("long", to(format!("http://localhost:{port}/{}", "x".repeat(9000))), "too large"),
            ("body", Outgoing { body: vec![0; (8 << 20) + 1].into(), ..base.clone() }, "too large"),
        ] {
            let got = fetcher.send(&server.grant(), outgoing, far()).await;
            assert!(got.as_ref().is_err_and(|error| error.to_string().starts_with(want)), "{name}: {got:?}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn answers_are_bounded() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        for (path, want) in [
            ("/exact", Ok(1000)),
            ("/large", Err("too large: localhost answers with more than 1000 bytes")),
            ("/chunks", Err("too large: localhost answers with more than 1000 bytes")),
            ("/short", Err("failed: localhost broke off")),
            ("/head", Err("failed: localhost")),
        ] {
            let got = fetcher.send(&server.grant(), server.get("localhost", path), far()).await;
            match (got.map(|answer| answer.body.len()), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{path}"),
                (Err(got), Err(want)) => assert!(got.to_string().starts_with(want), "{path}: {got}"),
                other => panic!("{path}: {other:?}"),
            }
        }
        let redirect = fetcher.send(&server.grant(), server.get("localhost", "/redirect"), far()).await.unwrap();
        assert_eq!((redirect.status, redirect.headers[0].1.as_bytes()), (302, &b"/echo"[..]));
    });
}

#[test]
fn whichever_time_is_over_first_ends_it() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let short = Duration::from_millis(100);
        let hasty = FetchGrant { timeout: short, ..server.grant() };
        for path in ["/silent", "/slow"] {
            let plain = server.get("localhost", path);
            let asking = Outgoing { timeout: Some(short), ..plain.clone() };
            let more = Outgoing { timeout: Some(Duration::from_secs(20)), ..plain.clone() };
            for (name, grant, outgoing, deadline) in [
                ("the grant's", &hasty, plain.clone(), far()),
                ("no more than the grant's", &hasty, more, far()),
                ("the request's", &server.grant(), asking, far()),
                ("the call's", &server.grant(), plain.clone(), Instant::now() + short),
                ("none left", &server.grant(), plain, Instant::now()),
            ] {
                let began = Instant::now();
                let got = fetcher.send(grant, outgoing, deadline).await;
                assert!(matches!(got, Err(HostError::Timeout(_))), "{path} {name}: {got:?}");
                assert!(began.elapsed() < Duration::from_secs(5), "{path} {name}");
            }
        }
    });
}

#[test]
fn a_connection_serves_again_but_only_under_the_same_grant() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let grant = server.grant();
        // A connection is given back by a task of its own, which has to have its turn, on a busy machine too.
        let settle = || async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        for _ in 0..3 {
            fetcher.send(&grant, server.get("localhost", "/echo"), far()).await.unwrap();
            settle().await;
        }
        assert_eq!(server.connections(), 1);
        // The same private addresses, whatever else differs.
        let other = FetchGrant { body: 2000, ..grant.clone() };
        fetcher.send(&other, server.get("localhost", "/echo"), far()).await.unwrap();
        settle().await;
        assert_eq!(server.connections(), 1);
        // The idle connection is no way in.
        let public = FetchGrant { private: Vec::new(), ..grant.clone() };
        let got = fetcher.send(&public, server.get("localhost", "/echo"), far()).await;
        assert!(matches!(got, Err(HostError::Denied(_))), "{got:?}");
        let wider = FetchGrant { private: vec!["127.0.0.1/32".parse().unwrap()], ..grant };
        fetcher.send(&wider, server.get("localhost", "/echo"), far()).await.unwrap();
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn a_request_given_up_closes_its_connection() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        for path in ["/silent", "/slow"] {
            let grant = server.grant();
            let sending = fetcher.send(&grant, server.get("localhost", path), far());
            assert!(tokio::time::timeout(Duration::from_millis(100), sending).await.is_err());
            let ended = async { server.ended.lock().await.recv().await };
            assert!(tokio::time::timeout(Duration::from_secs(5), ended).await.is_ok(), "{path}");
        }
        assert_eq!(fetcher.common.turns.available_permits(), CONNECTIONS_MAX);
        assert_eq!(fetcher.turns.available_permits(), SHARE_MAX);
    });
}

/// A function whose host is slow has its own share of the connections, and no more.
#[test]
fn one_functions_requests_leave_connections_to_the_others() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap());
        let (slow, other, grant) = (fetcher.share_of(2), fetcher.share(), server.grant());
        let silent = server.get("localhost", "/silent");
        let held = (0..2).map(|_| slow.send(&grant, silent.clone(), far()));
        let held = join_all(held);
        tokio::pin!(held);
        let asked = async {
            while server.connections() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! { _ = &mut held => unreachable!("a silent server answered"), () = asked => {} }
        let short = Outgoing { timeout: Some(Duration::from_millis(200)), ..server.get("localhost", "/echo") };
        let got = slow.send(&grant, short.clone(), far()).await;
        assert!(matches!(got, Err(HostError::Timeout(_))), "{got:?}");
        assert_eq!(server.connections(), 2);
        assert_eq!(fetcher.turns.available_permits(), CONNECTIONS_MAX - 2, "who waits for a share takes no turn");
        assert_eq!(other.send(&grant, server.get("localhost", "/echo"), far()).await.unwrap().status, 200);
        assert!(other.turns.available_permits() < SHARE_MAX && SHARE_MAX < CONNECTIONS_MAX);
    });
}

#[test]
fn many_at_once_come_back_in_order() {
    run(async {
        let (server, fetcher) = (Server::start().await, Fetcher::new().unwrap().share());
        let short = Some(Duration::from_millis(300));
        let paths = ["/echo", "/silent", "/redirect", "/silent", "/echo"];
        let all = paths.map(|path| Outgoing { timeout: short, ..server.get("localhost", path) });
        let began = Instant::now();
        let got = fetcher.send_all(&server.grant(), all.to_vec(), far()).await;
        assert!(began.elapsed() < Duration::from_secs(5));
        let got: Vec<_> = got.into_iter().map(|one| one.ok().map(|answer| answer.status)).collect();
        assert_eq!(got, [Some(200), None, Some(302), None, Some(200)]);
    });
}

#[test]
fn nobody_listens() {
    run(async {
        let server = Server::start().await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let grant =
            FetchGrant { allow: vec![FetchHost { pattern: "*".into(), port: Some(gone.port()) }], ..server.grant() };
        let got = Fetcher::new()
            .unwrap()
            .share()
            .send(&grant, get(&format!("http://localhost:{}/", gone.port())), far())
            .await;
        assert!(
            matches!(&got, Err(HostError::Failed(words)) if words.starts_with("cannot connect to localhost")),
            "{got:?}"
        );
    });
}

#[test]
fn https_wants_a_certificate_that_is_trusted_and_names_the_host() {
    run(async {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serve(stream));
                }
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let trusting =
            Fetcher::with_tls(builder().unwrap().with_root_certificates(roots).with_no_client_auth()).share();
        let grant = FetchGrant {
            allow: vec![FetchHost { pattern: "*".into(), port: Some(port) }],
            private: vec!["127.0.0.0/8".parse().unwrap()],
            timeout: Duration::from_secs(10),
            requests: 1,
            body: 1000,
        };
        let url = |host: &str| get(&format!("https://{host}:{port}/echo"));
        assert_eq!(trusting.send(&grant, url("localhost"), far()).await.unwrap().status, 200);
        for (name, fetcher, host) in [
            ("not trusted", &Fetcher::new().unwrap().share(), "localhost"),
            ("another name", &trusting, "app.localhost"),
        ] {
            let got = fetcher.send(&grant, url(host), far()).await;
            assert!(matches!(&got, Err(HostError::Failed(words)) if words.contains("certificate")), "{name}: {got:?}");
        }
    });
}
