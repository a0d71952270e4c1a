//! Lifecycle: stopping and being replaced without anybody noticing.
//!
//! In: SIGTERM, SIGQUIT with a successor, load. Out: every request answered. Never: a reset within an answer.

use crate::harness::raw::request;
use crate::harness::{Gate, Origin, Pop, Raw, Setup, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Viewers that ask again and again until told to stop; half of them keep their connection.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    viewers: Vec<JoinHandle<Result<(), String>>>,
}

// === impl Load ===
impl Load {
    fn start(address: SocketAddr, path: &'static str) -> Self {
        Load::of(address, "GET", path)
    }

    fn of(address: SocketAddr, method: &'static str, path: &'static str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let viewer = |keep: bool| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || browse(address, (method, path), keep, &stop, &done))
        };
        let viewers = (0..6).map(|n| viewer(n % 2 == 0)).collect();
        Load { stop, done, viewers }
    }

    /// Waits until `n` more requests have been answered.
    fn more(&self, n: usize) {
        let until_count = self.done.load(Ordering::Acquire) + n;
        until("the load to be answered", || {
            (self.done.load(Ordering::Acquire) >= until_count || self.viewers.iter().any(JoinHandle::is_finished))
                .then_some(())
        });
    }

    /// Stops and returns what went wrong.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Release);
        self.viewers.into_iter().filter_map(|viewer| viewer.join().unwrap().err()).collect()
    }
}

/// Within this of an answer that promised more, the next request is on its way in time: half of what a drain waits for it.
const AT_ONCE: Duration = Duration::from_millis(500);

/// One viewer's life. A kept connection may be closed once it was idle for a while; then, and only then, it asks again on a new one
/// (RFC 9112 §9.3.1).
fn browse(
    address: SocketAddr,
    (method, path): (&str, &str),
    keep: bool,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Result<(), String> {
    let mut kept: Option<(Raw, Instant)> = None;
    let body: &[u8] = if method == "POST" { b"x" } else { b"" };
    while !stop.load(Ordering::Acquire) {
        let (mut raw, answered) = match kept.take() {
            Some((raw, answered)) => (raw, Some(answered)),
            None => (Raw::try_connect(address).map_err(|e| format!("connect: {e}"))?, None),
        };
        let sent = raw.try_send(request(method, path, &[], body));
        let idle = answered.is_some_and(|answered| answered.elapsed() > AT_ONCE);
        let answer = match sent {
            Ok(()) => raw.try_reply(method),
            Err(_) if idle => continue,
            Err(e) => return Err(format!("send, {answered:?}: {e}")),
        };
        match answer {
            Ok(reply) if reply.status == 200 && reply.text() == "served" => {
                done.fetch_add(1, Ordering::AcqRel);
                if keep && reply.field("connection") != Some("close") {
                    kept = Some((raw, Instant::now()));
                }
            }
            Ok(reply) => return Err(format!("status {}: {}", reply.status, reply.text())),
            Err(broken) if idle && broken.partial.is_none() => {}
            Err(broken) => return Err(format!("kept: {}, {broken:?}", answered.is_some())),
        }
    }
    Ok(())
}

#[test]
fn ready_means_that_viewers_are_served() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "served");
    for round in 0..5 {
        assert!(Pop::caching(&origin, "").listened_when_ready, "round {round}: /readyz came before the listeners");
    }
}

#[test]
fn sigterm_lets_requests_in_flight_finish() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: no-store\r\nContent-Length: 10\r\n");
        x.write("01234");
        held.wait();
        x.write("56789");
    });
    let mut pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/slow", &[], b""));
    let head = viewer.head().unwrap();
    pop.signal("TERM");
    until("the port to close", || Raw::try_connect(pop.http).is_err().then_some(()));
    gate.open();
    assert_eq!(viewer.body("GET", head).unwrap().text(), "0123456789");
    drop(viewer);
    assert!(pop.wait().success(), "a polite end is no failure");
}

/// An origin that takes its time, so that requests span whatever happens meanwhile.
fn slow(time: Duration) -> Origin {
    Origin::start(move |x| {
        std::thread::park_timeout(time);
        x.reply("200 OK", "Cache-Control: no-store\r\n", "served");
    })
}

/// Whether a connection goes on is said when the answer's head is written, long after the request came.
#[test]
fn sigterm_keeps_what_answers_promised() {
    for (method, path, behavior) in
        [("POST", "/full", "methods = \"all\""), ("GET", "/full", ""), ("GET", "/lane", "cache = false")]
    {
        let origin = slow(Duration::from_millis(300));
        let mut pop = Pop::caching(&origin, behavior);
        let viewer = |n: usize| {
            let address = pop.http;
            std::thread::spawn(move || {
                let mut raw = Raw::connect(address);
                let body: &[u8] = if method == "POST" { b"x" } else { b"" };
                for nth in 0.. {
                    let sent = raw.try_send(request(method, &format!("{path}{n}-{nth}"), &[], body));
                    sent.map_err(|e| format!("request {nth}: {e}"))?;
                    let reply = raw.try_reply(method).map_err(|broken| format!("request {nth}: {broken:?}"))?;
                    if reply.field("connection") == Some("close") {
                        return Ok(nth);
                    }
                }
                Err("for ever".to_owned())
            })
        };
        let viewers: Vec<JoinHandle<Result<usize, String>>> = (0..8).map(viewer).collect();
        // Each has had an answer that promised another, which is under way.
        origin.wait(16);
        pop.signal("TERM");
        for viewer in viewers {
            let last = viewer.join().unwrap();
            assert!(last.as_ref().is_ok_and(|last| *last > 0), "{method} {path}: {last:?}");
        }
        assert!(pop.wait().success());
    }
}

#[test]
fn an_upgrade_keeps_what_answers_promised() {
    for (method, behavior) in [("POST", "methods = \"all\""), ("GET", "cache = false")] {
        let origin = slow(Duration::from_millis(50));
        let mut pop = Pop::caching(&origin, behavior);
        let load = Load::of(pop.http, method, "/slow");
        load.more(50);
        let mut old = pop.upgrade();
        until("the old process to end", || old.try_wait().unwrap());
        pop.wait_ready();
        load.more(50);
        let failed = load.end();
        assert!(failed.is_empty(), "{method}: {failed:?}");
    }
}

/// A request that is on its way when the drain begins: on a connection that an answer kept open, and on one that was just made.
#[test]
fn a_drain_waits_for_a_request_that_is_on_its_way() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "served");
    let mut pop = Pop::caching(&origin, "");
    let mut kept = pop.raw();
    assert_ne!(kept.get("/a").field("connection"), Some("close"));
    let mut made = pop.raw();
    // Each of the workers has it.
    made.send(b"GET /a HTTP/1.1\r\n");
    pop.signal("TERM");
    until("the port to close", || Raw::try_connect(pop.http).is_err().then_some(()));
    for (what, viewer, bytes) in [
        ("kept", &mut kept, request("GET", "/a", &[], b"")),
        ("made", &mut made, b"Host: shop.example\r\n\r\n".to_vec()),
    ] {
        viewer.send(bytes);
        let reply = viewer.reply("GET");
        assert_eq!((reply.text().as_str(), reply.field("connection")), ("served", Some("close")), "{what}");
    }
    assert!(pop.wait().success());
}

#[test]
fn an_idle_process_ends_at_once() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "served");
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    // Longer than anybody waits here.
    setup.pop = "drain = \"10m\"".to_owned();
    let mut pop = setup.start();
    let mut kept = pop.raw();
    kept.get("/a");
    pop.signal("TERM");
    assert!(pop.wait().success());
    assert!(kept.closed());
}

#[test]
fn an_answer_without_end_ends_with_the_drain_time() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        x.head("200 OK", "Cache-Control: no-store\r\nContent-Length: 10\r\n");
        x.write("01234");
        held.wait();
    });
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    setup.pop = "drain = \"1s\"".to_owned();
    let mut pop = setup.start();
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/for-ever", &[], b""));
    let head = viewer.head().unwrap();
    pop.signal("TERM");
    pop.wait();
    assert!(viewer.body("GET", head).is_err(), "what is cut off is seen as such");
    gate.open();
}

#[test]
fn an_upgrade_under_load_fails_no_request() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "served");
    for path in ["/hit", "/pass?no"] {
        let mut pop = Pop::caching(&origin, "");
        pop.get("/hit");
        let load = Load::start(pop.http, path);
        load.more(200);
        let mut old = pop.upgrade();
        until("the old process to end", || old.try_wait().unwrap());
        pop.wait_ready();
        load.more(500);
        let failed = load.end();
        assert!(failed.is_empty(), "{path}: {failed:?}");
        assert!(pop.alive());
    }
}

#[test]
fn an_answer_in_flight_survives_the_upgrade() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |x| {
        if x.request.target == "/slow" {
            x.head("200 OK", "Cache-Control: no-store\r\nContent-Length: 10\r\n");
            x.write("01234");
            held.wait();
            x.write("56789");
        } else {
            x.reply("200 OK", "Cache-Control: no-store\r\n", "quick");
        }
    });
    let mut pop = Pop::caching(&origin, "");
    let mut viewer = pop.raw();
    viewer.send(request("GET", "/slow", &[], b""));
    let head = viewer.head().unwrap();
    let mut old = pop.upgrade();
    pop.wait_ready();
    until("the successor to serve", || {
        let mut raw = pop.raw();
        raw.try_send(request("GET", "/quick", &[], b"")).ok()?;
        raw.try_reply("GET").ok().filter(|reply| reply.text() == "quick")
    });
    gate.open();
    assert_eq!(viewer.body("GET", head).unwrap().text(), "0123456789");
    drop(viewer);
    until("the old process to end", || old.try_wait().unwrap());
}

#[test]
fn a_reload_under_load_fails_no_request() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", "served");
    let text = format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o"));
    let pop = Pop::start(text.clone());
    let load = Load::start(pop.http, "/hit");
    for n in 0..10 {
        load.more(50);
        assert_eq!(pop.reload(&format!("{text}# revision {n}\n")).status / 100, 2);
    }
    let failed = load.end();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    use crate::harness::pop::{free_port, run};
    let dir = tempfile::tempdir().unwrap();
    let address = free_port();
    let _taken = std::net::TcpListener::bind(address).unwrap();
    let path = dir.path().join("taken.toml");
    let text = format!(
        "[pop]\ncode = \"TST\"\nlisten = [\"{address}\"]\nstate_dir = \"{}\"\n[[origin]]\nname = \"o\"\ngenerated = {{ status = 200, body = \"x\" }}\n\
         [[behavior]]\nmatch = \"*\"\norigin = \"o\"\n",
        dir.path().display()
    );
    std::fs::write(&path, text).unwrap();
    let (status, _, stderr) = run(&["run", "--config", path.to_str().unwrap()]);
    assert!(!status.success());
    assert!(stderr.contains(&address.to_string()), "{stderr}");
}

#[test]
fn two_processes_do_not_share_an_admin_address() {
    use crate::harness::pop::{free_port, run};
    let pop = Pop::start("[[origin]]\nname = \"o\"\ngenerated = {}\n");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("second.toml");
    let text = format!(
        "[pop]\nlisten = [\"{}\"]\nstate_dir = \"{}\"\n[admin]\naddress = \"{}\"\n[[origin]]\nname = \"o\"\ngenerated = {{}}\n",
        free_port(),
        dir.path().display(),
        pop.admin
    );
    std::fs::write(&path, text).unwrap();
    let (status, _, stderr) = run(&["run", "--config", path.to_str().unwrap()]);
    assert!(!status.success());
    assert!(stderr.contains(&pop.admin.to_string()), "{stderr}");
}
