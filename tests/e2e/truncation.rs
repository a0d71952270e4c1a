//! Truncation: an origin's answer that is not whole is never kept and never shown as whole.
//!
//! In: origins that stop, reset, lie about lengths or chunk wrongly. Out: an error a viewer can see. Never: a short success.

use crate::harness::{Exchange, Origin, Pop};

const HEAD: &str = "Cache-Control: max-age=60\r\n";

/// How an origin breaks its first answer.
type Breakage = fn(&mut Exchange<'_>);

const BREAKAGES: &[(&str, Breakage)] = &[
    ("closes before the length is reached", |x| {
        x.head("200 OK", &format!("{HEAD}Content-Length: 100\r\n"));
        x.write("short");
        x.close();
    }),
    ("resets within the body", |x| {
        x.head("200 OK", &format!("{HEAD}Content-Length: 100\r\n"));
        x.write("short");
        x.reset();
    }),
    ("ends a chunked body without its last chunk", |x| {
        x.head("200 OK", &format!("{HEAD}Transfer-Encoding: chunked\r\n"));
        x.chunk("short");
        x.close();
    }),
    ("ends within a chunk", |x| {
        x.head("200 OK", &format!("{HEAD}Transfer-Encoding: chunked\r\n"));
        x.write("64\r\nshort");
        x.close();
    }),
    ("sends a chunk size that is no number", |x| {
        x.head("200 OK", &format!("{HEAD}Transfer-Encoding: chunked\r\n"));
        x.chunk("short");
        x.write("zz\r\nmore\r\n0\r\n\r\n");
        x.close();
    }),
    ("closes after the head", |x| {
        x.head("200 OK", &format!("{HEAD}Content-Length: 100\r\n"));
        x.close();
    }),
    ("closes within the head", |x| {
        x.write("HTTP/1.1 200 OK\r\nCache-Con");
        x.close();
    }),
    ("closes without a word", |x| x.close()),
    ("names two lengths", |x| {
        x.head("200 OK", &format!("{HEAD}Content-Length: 100\r\nContent-Length: 5\r\n"));
        x.write("short");
        x.close();
    }),
    ("speaks something else", |x| {
        x.write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
        x.close();
    }),
];

#[test]
fn a_broken_answer_is_an_error_and_leaves_nothing_behind() {
    for (name, breakage) in BREAKAGES {
        let origin = Origin::start(move |x| {
            if x.request.target == "/broken" && !x.request.fields.iter().any(|(n, v)| n == "x-mend" && v == "1") {
                breakage(x);
            } else {
                x.reply("200 OK", HEAD, "whole");
            }
        });
        let pop = Pop::caching(&origin, "forward = { headers = \"all\" }\ncache = { error_ttl = \"0s\" }");
        match pop.raw_get("/broken") {
            Ok(reply) => {
                assert!(reply.status == 502 || reply.status == 504, "{name}: {} {:?}", reply.status, reply.text())
            }
            Err(broken) => assert!(!broken.why.is_empty(), "{name}"),
        }
        let mended = pop.get_with("/broken", &[("X-Mend", "1")]);
        assert_eq!((mended.hit(), mended.text().as_str()), (false, "whole"), "{name}: nothing of it was kept");
        assert_eq!(pop.get("/fine").text(), "whole", "{name}: the process serves on");
    }
}

#[test]
fn a_broken_answer_is_seen_as_broken_over_h2() {
    use crate::harness::{H2, Setup};
    let origin = Origin::start(|x| {
        x.head("200 OK", &format!("{HEAD}Content-Length: 100\r\n"));
        x.write("short");
        x.close();
    });
    let mut setup = Setup::new(format!("{}[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n", origin.config("o")));
    setup.listeners = "[[listener]]\naddress = \"127.0.0.1:{port}\"\nh2 = true\n".to_owned();
    let pop = setup.start();
    match H2::plain(pop.extra[0]).try_send("GET", "/a", &[], b"", &[]) {
        Ok(reply) => assert_eq!(reply.status, 502),
        Err(error) => assert!(error.is_reset() || error.is_go_away() || error.is_io(), "{error}"),
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_not_trusted_to_be_whole() {
    let origin = Origin::start(|x| {
        x.head("200 OK", &format!("{HEAD}Connection: close\r\n"));
        x.write(format!("v{}", x.nth + 1));
        x.close();
    });
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").text(), "v1");
    assert_eq!(pop.get("/a").text(), "v2", "no length, no last chunk: nobody knows whether it was all");
}

#[test]
fn bytes_past_the_length_belong_to_nobody() {
    let origin = Origin::start(|x| {
        // In one piece: what comes only once the connection asks again nobody can tell from an answer.
        let more = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        x.write(format!("HTTP/1.1 200 OK\r\n{HEAD}Content-Length: 5\r\n\r\nright{more}"));
    });
    let pop = Pop::caching(&origin, "");
    assert_eq!(pop.get("/a").text(), "right");
    for path in ["/b", "/c", "/d"] {
        match pop.raw_get(path) {
            Ok(reply) => assert_ne!(reply.text(), "poison", "{path}"),
            Err(broken) => assert!(broken.partial.is_none_or(|p| p.text() != "poison"), "{path}"),
        }
    }
}
