//! Compression: br, gzip and zstd by what the viewer takes, each kept once (RFC 9110 §12.5.3, CloudFront's rules).
//!
//! In: Accept-Encoding. Out: bodies that decode to what the origin sent. Never: a coding the viewer did not name.

use crate::harness::{Origin, Pop, Reply};
use std::io::Read;

const TYPE: &str = "Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=60\r\nETag: \"one\"\r\n";

fn page() -> String {
    "<p>The quick brown fox jumps over the lazy dog.</p>\n".repeat(200)
}

fn decoded(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    match reply.field("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut out).map(drop).unwrap(),
        Some("br") => brotli::Decompressor::new(&reply.body[..], 4096).read_to_end(&mut out).map(drop).unwrap(),
        Some("zstd") => out = zstd::decode_all(&reply.body[..]).unwrap(),
        Some(other) => panic!("unknown coding {other}"),
        None => out.clone_from(&reply.body),
    }
    out
}

#[test]
fn the_viewers_coding_is_used_and_kept_once() {
    let origin = Origin::start(|x| x.reply("200 OK", TYPE, page()));
    let pop = Pop::caching(&origin, "compress = true");
    for (accept, allowed) in [
        ("gzip", &["gzip"][..]),
        ("br", &["br"]),
        ("zstd", &["zstd"]),
        ("gzip, br", &["br", "gzip"]),
        ("br;q=0, gzip", &["gzip"]),
        ("gzip;q=0", &[""]),
        ("identity", &[""]),
        ("*;q=0, gzip", &["gzip"]),
        ("deflate", &[""]),
        ("", &[""]),
    ] {
        let fields: &[(&str, &str)] = if accept.is_empty() { &[] } else { &[("Accept-Encoding", accept)] };
        let first = pop.get_with("/a", fields);
        let coding = first.field("content-encoding").unwrap_or_default();
        assert!(allowed.contains(&coding), "{accept:?}: {coding:?}");
        assert_eq!(decoded(&first), page().as_bytes(), "{accept:?}");
        let vary = first.all("vary").join(",").to_ascii_lowercase();
        assert!(vary.contains("accept-encoding"), "{accept:?}: caches behind us must know: {vary:?}");
        let again = pop.get_with("/a", fields);
        assert!(again.hit(), "{accept:?}: {:?}", again.cache());
        assert_eq!(again.body, first.body, "{accept:?}");
        if !coding.is_empty() {
            assert!(first.body.len() < page().len() / 2, "{accept:?}: {} bytes", first.body.len());
            assert_eq!(first.field("etag"), Some("W/\"one\""), "{accept:?}: the bytes are not the origin's");
        }
    }
    assert!(origin.count() <= 4, "at most one question a coding and one for none, {} were asked", origin.count());
}

#[test]
fn what_is_left_alone() {
    let big = page();
    let small = "tiny";
    let table: &[(&str, &str, &str, &str)] = &[
        ("an image", "Content-Type: image/png\r\nCache-Control: max-age=60\r\n", &big, ""),
        ("no type", "Cache-Control: max-age=60\r\n", &big, ""),
        ("a small body", TYPE, small, ""),
        ("no-transform", "Content-Type: text/html\r\nCache-Control: max-age=60, no-transform\r\n", &big, ""),
        (
            "already coded",
            "Content-Type: text/html\r\nCache-Control: max-age=60\r\nContent-Encoding: x-own\r\n",
            &big,
            "x-own",
        ),
    ];
    for (name, fields, body, want) in table {
        let (fields, body) = ((*fields).to_owned(), (*body).to_owned());
        let copy = body.clone();
        let origin = Origin::start(move |x| x.reply("200 OK", &fields, &copy));
        let pop = Pop::caching(&origin, "compress = true");
        for round in 0..2 {
            let reply = pop.get_with("/a", &[("Accept-Encoding", "gzip, br, zstd")]);
            assert_eq!(reply.field("content-encoding").unwrap_or_default(), *want, "{name}, round {round}");
            assert_eq!(reply.text(), body, "{name}, round {round}");
        }
    }
}

#[test]
fn without_compress_bodies_pass_as_they_are() {
    let origin = Origin::start(|x| x.reply("200 OK", TYPE, page()));
    let pop = Pop::caching(&origin, "");
    let reply = pop.get_with("/a", &[("Accept-Encoding", "gzip")]);
    assert_eq!(reply.field("content-encoding"), None);
    assert_eq!(reply.text(), page());
    assert_eq!(reply.field("etag"), Some("\"one\""));
}

#[test]
fn a_conditional_request_matches_the_weakened_validator() {
    let origin = Origin::start(|x| x.reply("200 OK", TYPE, page()));
    let pop = Pop::caching(&origin, "compress = true");
    let gzip = ("Accept-Encoding", "gzip");
    let first = pop.get_with("/a", &[gzip]);
    let etag = first.field("etag").unwrap().to_owned();
    let second = pop.get_with("/a", &[gzip, ("If-None-Match", &etag)]);
    assert_eq!((second.status, second.body.len()), (304, 0));
}

#[test]
fn head_and_get_agree_about_the_coding() {
    let origin = Origin::start(|x| x.reply("200 OK", TYPE, page()));
    let pop = Pop::caching(&origin, "compress = true");
    let gzip = [("Accept-Encoding", "gzip")];
    let get = pop.get_with("/a", &gzip);
    let head = pop.send("HEAD", "/a", &gzip, b"");
    assert_eq!(head.field("content-encoding"), get.field("content-encoding"));
    assert!(head.body.is_empty());
}

/// Nothing can be written between what an encoder still holds and the trailers.
#[test]
fn an_answer_that_announces_trailers_is_not_compressed() {
    let origin = Origin::start(|x| {
        x.head("200 OK", &format!("{TYPE}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n"));
        x.chunk(page());
        x.last_chunk("X-Sum: 42\r\n");
    });
    let pop = Pop::caching(&origin, "compress = true");
    for _ in 0..2 {
        let reply = pop.get_with("/a", &[("Accept-Encoding", "gzip")]);
        assert_eq!((reply.field("content-encoding"), reply.text()), (None, page()));
    }
}
