//! Stub: a server of key sets that can be told what to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What it does with a request.
#[derive(Clone)]
pub enum Mood {
    Serve(String),
    Status(u16),
    /// Answers after this time.
    Slow(Duration, String),
    /// Closes the connection in the middle of the body.
    BreakOff,
    /// Sends a body without end.
    Endless,
}

pub struct Stub {
    pub url: String,
    pub asked: Arc<AtomicUsize>,
    mood: Arc<Mutex<Mood>>,
}

pub fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

impl Stub {
    pub async fn new(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (asked, mood) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(mood)));
        let (count, moods) = (asked.clone(), mood.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (count, mood) = (count.clone(), moods.lock().clone());
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    match mood {
                        Mood::Serve(body) => stream.write_all(whole(&body).as_bytes()).await.unwrap_or_default(),
                        Mood::Status(status) => {
                            let text = format!("HTTP/1.1 {status} X\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n");
                            stream.write_all(text.as_bytes()).await.unwrap_or_default();
                        }
                        Mood::Slow(pause, body) => {
                            tokio::time::sleep(pause).await;
                            let _ = stream.write_all(whole(&body).as_bytes()).await;
                        }
                        Mood::BreakOff => {
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{").await;
                        }
                        Mood::Endless => {
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                            while stream.write_all(&[b' '; 8192]).await.is_ok() {}
                        }
                    }
                });
            }
        });
        Stub { url, asked, mood }
    }

    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    pub fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
