//! Relay: a connection that can be cut, or lose what one side sends, between two servers that know nothing of it.
//!
//! In: a port. Out: another port that leads there. Never: a word to either side of what was lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

pub struct Relay {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    losing: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

// === impl Relay ===
impl Relay {
    pub fn to(target: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let accepting = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if accepting.cut.load(Ordering::Acquire) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let copies = [&near, &far].map(|stream| stream.try_clone().unwrap());
                accepting.open.lock().extend([&near, &far].map(|stream| stream.try_clone().unwrap()));
                // It was cut while this one came to be.
                if accepting.cut.load(Ordering::Acquire) {
                    accepting.end();
                    continue;
                }
                let [near_copy, far_copy] = copies;
                let state = accepting.clone();
                thread::spawn(move || pump(near_copy, far, || false));
                thread::spawn(move || pump(far_copy, near, || state.losing.load(Ordering::Acquire)));
            }
        });
        Relay { port, state }
    }

    /// What the far side sends is lost from now on, until [`Relay::mend`].
    pub fn lose(&self) {
        self.state.losing.store(true, Ordering::Release);
    }

    /// Ends every connection; there is none until [`Relay::mend`].
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::Release);
        self.state.end();
    }

    pub fn mend(&self) {
        self.state.losing.store(false, Ordering::Release);
        self.state.cut.store(false, Ordering::Release);
    }
}

// === impl State ===
impl State {
    fn end(&self) {
        for stream in self.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, losing: impl Fn() -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !losing() && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
