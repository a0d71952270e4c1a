//! Web origin: a small site that runs inside the edge, over wasi:http.
//!
//!   GET /            a page with the name that `config` grants as TITLE
//!   POST /echo       the request's body, upper case
//!   GET /count       lines written one by one, streamed
//!   GET /proxy?URL   what another server answers, where `fetch` allows it
//!   GET /broken      an answer that breaks off in the middle

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

wasip2::http::proxy::export!(Site);

struct Site;

impl wasip2::exports::http::incoming_handler::Guest for Site {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match (request.method(), path) {
            (Method::Get, "/") => {
                let environment = wasip2::cli::environment::get_environment();
                let title = environment.iter().find(|(name, _)| name == "TITLE");
                let title = title.map_or("a site without a name", |(_, value)| value);
                answer(out, 200, "text/html; charset=utf-8", |body| body.say(&format!("<h1>{title}</h1>\n")));
            }
            (Method::Post, "/echo") => {
                let text = request.consume().map(read).unwrap_or_default();
                answer(out, 200, "application/octet-stream", |body| body.write(&text.to_ascii_uppercase()));
            }
            (Method::Get, "/count") => answer(out, 200, "text/plain", |body| {
                for line in 1..=1000 {
                    body.say(&format!("line {line}\n"));
                }
            }),
            (Method::Get, "/proxy") => match fetch(query) {
                Ok((status, text)) => answer(out, status, "text/plain", |body| body.write(&text)),
                Err(why) => answer(out, 502, "text/plain", |body| body.say(&why)),
            },
            (Method::Get, "/broken") => answer(out, 200, "text/plain", |body| {
                (0..256).for_each(|_| body.write(&[b'.'; 4096]));
                panic!("and no end");
            }),
            (Method::Get, "/spin") => loop {
                std::hint::black_box(());
            },
            (Method::Get, "/hoard") => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1u8; 1 << 20]);
                }
            }
            (Method::Get, "/silent") => {}
            _ => answer(out, 404, "text/plain", |body| body.say("there is nothing here\n")),
        }
    }
}

/// The stream of an answer's body.
struct Writer(wasip2::io::streams::OutputStream);

impl Writer {
    fn say(&self, text: &str) {
        self.write(text.as_bytes());
    }

    /// Waits for the viewer where it has to.
    fn write(&self, bytes: &[u8]) {
        for piece in bytes.chunks(4096) {
            match self.0.blocking_write_and_flush(piece) {
                // The viewer is gone.
                Ok(()) | Err(StreamError::Closed) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

fn answer(out: ResponseOutparam, status: u16, kind: &str, write: impl FnOnce(&Writer)) {
    let headers = Fields::new();
    headers.set("content-type", &[kind.as_bytes().to_vec()]).expect("a good field");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("a good status");
    let body = response.body().expect("the first time it is asked for");
    ResponseOutparam::set(out, Ok(response));
    let writer = Writer(body.write().expect("the first time it is asked for"));
    write(&writer);
    drop(writer);
    OutgoingBody::finish(body, None).expect("a whole body");
}

fn read(body: IncomingBody) -> Vec<u8> {
    let stream = body.stream().expect("the first time it is asked for");
    let mut whole = Vec::new();
    while let Ok(piece) = stream.blocking_read(64 << 10) {
        whole.extend(piece);
    }
    whole
}

/// GETs `http://host:port/path`.
fn fetch(url: &str) -> Result<(u16, Vec<u8>), String> {
    let rest = url.strip_prefix("http://").ok_or("not an http URL\n")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "no such scheme\n")?;
    request.set_authority(Some(authority)).map_err(|()| "no such host\n")?;
    request.set_path_with_query(Some(path)).map_err(|()| "no such path\n")?;
    let coming = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}\n"))?;
    coming.subscribe().block();
    let response = coming.get().ok_or("nothing came\n")?.map_err(|()| "asked twice\n")?;
    let response = response.map_err(|code| format!("{code:?}\n"))?;
    let status = response.status();
    Ok((status, response.consume().map(read).unwrap_or_default()))
}
