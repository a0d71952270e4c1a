//! Client: one question to a PoP's admin API.
//!
//! In: where it is, a token, method, path, JSON. Out: the answer's JSON, or an error that says what to do. Never: proxies,
//! redirects, an unbounded wait or body.

use super::Access;
use crate::config::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;

/// Takes the token from the environment, so that it stays out of process lists and shell histories.
const TOKEN_VARIABLE: &str = "RIMWARD_ADMIN_TOKEN";
const CONNECT: Duration = Duration::from_secs(5);
/// A reload may wait for DNS and certificates.
const WAIT: Duration = Duration::from_secs(60);
/// Bytes of an answer: `/top` of a thousand behaviors has less than one.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// A PoP that can be asked.
#[derive(Debug)]
pub struct Client {
    url: String,
    token: Option<Secret<String>>,
    agent: ureq::Agent,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read the token file {}: {source}", path.display())]
    TokenFile { path: PathBuf, source: std::io::Error },
    #[error("the token file {} is empty", .0.display())]
    NoToken(PathBuf),
    #[error("{url:?} is not an admin URL: write http://HOST:PORT (reach a remote PoP through a tunnel, e.g. ssh -L)")]
    Url { url: String },
    #[error("no PoP answers at {url} ({why}): is it running? start one with `rimward dev`")]
    Unreachable { url: String, why: String },
    #[error("{error}\n  {hint}")]
    Refused { status: u16, error: String, hint: String },
    #[error("{url} answered {status}, but not as a Rimward admin API does: is another server listening there?")]
    Stranger { url: String, status: u16 },
}

/// An error answer of the admin API.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    hint: String,
}

// === impl Client ===
impl Client {
    pub fn new(access: &Access) -> Result<Self, ClientError> {
        let url = access.url.trim_end_matches('/');
        if !url.starts_with("http://") {
            return Err(ClientError::Url { url: access.url.clone() });
        }
        let token = match &access.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ClientError::TokenFile { path: path.clone(), source })?;
                match text.trim() {
                    "" => return Err(ClientError::NoToken(path.clone())),
                    token => Some(token.to_owned()),
                }
            }
            None => std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()),
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WAIT))
            .build();
        Ok(Client { url: url.to_owned(), token: token.map(Secret::new), agent: agent.into() })
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = self.request("GET", path).body(()).map_err(|error| self.unreachable(&error))?;
        self.read(self.agent.run(request))
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, json: String) -> Result<T, ClientError> {
        let request = self.request("POST", path).header(http::header::CONTENT_TYPE, "application/json");
        let request = request.body(json).map_err(|error| self.unreachable(&error))?;
        self.read(self.agent.run(request))
    }

    /// Sends bytes that are no JSON.
    pub fn put<T: DeserializeOwned>(&self, path: &str, bytes: Vec<u8>) -> Result<T, ClientError> {
        let request = self.request("PUT", path).body(bytes).map_err(|error| self.unreachable(&error))?;
        self.read(self.agent.run(request))
    }

    /// Whether something is there: 404 says that it is not.
    pub fn has(&self, path: &str) -> Result<bool, ClientError> {
        let request = self.request("HEAD", path).body(()).map_err(|error| self.unreachable(&error))?;
        let response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        match response.status().as_u16() {
            404 => Ok(false),
            status if (200..300).contains(&status) => Ok(true),
            // The reason is in the answer to another method.
            status => Err(self.refused(status, b"")),
        }
    }

    /// Asks what does not answer as the admin API does, such as the key-value stores. Any status is an answer.
    pub fn ask(
        &self,
        method: &http::Method,
        path: &str,
        fields: &[(http::HeaderName, &str)],
        json: String,
    ) -> Result<http::Response<Vec<u8>>, ClientError> {
        let mut request = self.request(method.as_str(), path);
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        if !json.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(json).map_err(|error| self.unreachable(&error))?;
        let response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec().map_err(|error| self.unreachable(&error))?;
        Ok(http::Response::from_parts(parts, body))
    }

    /// What an answer that is no success means.
    pub fn refused(&self, status: u16, body: &[u8]) -> ClientError {
        let Ok(Refusal { error, hint }) = serde_json::from_slice(body) else {
            return ClientError::Stranger { url: self.url.clone(), status };
        };
        let hint = if status == 401 { format!("give it with --token-file PATH or {TOKEN_VARIABLE}") } else { hint };
        ClientError::Refused { status, error, hint }
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.header(http::header::AUTHORIZATION, format!("Bearer {}", token.expose())),
            None => request,
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        response: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, ClientError> {
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            serde_json::from_slice(&body).map_err(|_| ClientError::Stranger { url: self.url.clone(), status })
        } else {
            Err(self.refused(status, &body))
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> ClientError {
        let why = error.to_string().trim_start_matches("io: ").to_lowercase();
        // "(os error 111)" tells an operator nothing that the words do not.
        let why = why.split(" (os error").next().unwrap_or_default().to_owned();
        ClientError::Unreachable { url: self.url.clone(), why }
    }
}

// === impl ClientError ===
impl ClientError {
    /// 2 when the command line is to blame, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::TokenFile { .. } | ClientError::NoToken(_) | ClientError::Url { .. } => 2,
            ClientError::Refused { status: 400, .. } => 2,
            ClientError::Unreachable { .. } | ClientError::Refused { .. } | ClientError::Stranger { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Done;
    use crate::admin::fixture::Pop;
    use std::io::{Read, Write};

    fn access(url: String, token_file: Option<PathBuf>) -> Access {
        Access { url, token_file }
    }

    #[test]
    fn a_token_file_lets_in() {
        let pop = Pop::start(Some("s3cret"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let client = Client::new(&access(pop.url() + "/", Some(file.path().to_owned()))).unwrap();
        assert_eq!(client.get::<Done>("/readyz").unwrap().done, "ready");
        assert_eq!(client.post::<Done>("/reload", String::new()).unwrap().done, "abc123");
        assert!(!format!("{client:?}").contains("s3cret"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let guarded = Pop::start(Some("s3cret"));
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = format!("http://{}", silent.local_addr().unwrap());
        drop(silent);
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stranger = format!("http://{}", other.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let _head = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi").unwrap();
        });
        for (url, code, says) in [
            (closed, 1, "(connection refused): is it running? start one with `rimward dev`"),
            (guarded.url(), 1, "--token-file PATH"),
            (stranger, 1, "another server"),
        ] {
            let error = Client::new(&access(url, None)).unwrap().get::<Done>("/status").unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.exit_code(), code, "{error}");
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(empty.path(), "\n").unwrap();
        for (url, file, says) in [
            ("http://127.0.0.1:1", empty.path().to_str(), "is empty"),
            ("https://pop.example", None, "http://HOST:PORT"),
            ("127.0.0.1:9901", None, "http://HOST:PORT"),
            ("http://127.0.0.1:1", Some("/nonexistent/token"), "/nonexistent/token"),
        ] {
            let error = Client::new(&access(url.to_owned(), file.map(PathBuf::from))).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
