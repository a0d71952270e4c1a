//! Hook bodies: what functions see of bodies, what they put in their place, and what reaches the origin.
//!
//! In: uploads of every size and framing, associations that include the body. Out: whole bodies. Never: a byte lost or sent twice.

use crate::harness::credentials::sha256;
use crate::harness::h2::H2;
use crate::harness::hooked::{calls, pop};
use crate::harness::wat::{self, Flat};
use crate::harness::{HOST, Origin, Pop, Reply, Setup, until};

/// Says how much of the body it sees, and what it is.
const SEES: &str = r"
const { createHash } = require('crypto');
exports.handler = async (event) => {
  const { request } = event.Records[0].cf;
  const { data, inputTruncated } = request.body;
  const seen = Buffer.from(data, 'base64');
  const hash = createHash('sha256').update(seen).digest('hex');
  request.headers['x-seen'] = [{ key: 'X-Seen', value: `${seen.length} ${inputTruncated} ${hash}` }];
  return request;
};
";

const KIB: usize = 1 << 10;
const POST: &str = "methods = \"all\"\ncache = false";

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|n| b'a' + (n % 23) as u8).collect()
}

/// A PoP whose function or functions are [`SEES`], each writing its own field, with time for large bodies in a debug build.
fn seeing(origin: &Origin, functions: &[(&str, &str)], hooks: &str) -> Pop {
    let mut setup = Setup::new("");
    let mut rest = origin.config("o");
    for (name, field) in functions {
        let file = SEES.replace("x-seen", field).replace("X-Seen", field);
        std::fs::write(setup.dir().join(format!("{name}.js")), file).unwrap();
        rest.push_str(&format!("[[function]]\nname = \"{name}\"\nfile = \"{name}.js\"\ncpu = \"5s\"\n"));
    }
    let forward = "forward = { headers = \"all\" }";
    rest.push_str(&format!(
        "[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n{POST}\n{forward}\n[behavior.hooks]\n{hooks}\n"
    ));
    setup.rest = rest;
    setup.start()
}

/// Gives back what it was sent.
fn mirror() -> Origin {
    Origin::start(|x| {
        let body = x.request.body.clone();
        x.reply("200 OK", "", body);
    })
}

/// The same request in pieces, as one of unknown length.
fn chunked(pop: &Pop, body: &[u8]) -> Reply {
    let mut raw = pop.raw();
    raw.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(10_000) {
        raw.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    raw.send("0\r\n\r\n");
    raw.reply("POST")
}

/// CloudFront Developer Guide, "Quotas on Lambda@Edge": 40 KB at viewer-request, 1 MB at origin-request. Without a length it is 40 KiB.
#[test]
fn functions_see_as_much_of_a_body_as_their_event_shows_and_the_origin_gets_all() {
    for (event, most) in [("viewer_request", 40 * KIB), ("origin_request", 1024 * KIB)] {
        let origin = mirror();
        let hooks = format!("{event} = {{ function = \"f\", include_body = true }}");
        let pop = seeing(&origin, &[("f", "x-seen")], &hooks);
        let sizes = [1, 40 * KIB - 1, 40 * KIB, 40 * KIB + 1, 64 * KIB, 64 * KIB + 1, 104 * KIB, 128 * KIB + 1];
        for size in sizes.into_iter().chain([1024 * KIB - 1, 1024 * KIB, 1024 * KIB + 1, 1088 * KIB, 3000 * KIB]) {
            let sent = body(size);
            let seen = |most: usize| {
                let seen = &sent[..size.min(most)];
                format!("{} {} {}", seen.len(), size > most, sha256(std::str::from_utf8(seen).unwrap()))
            };
            let got = |how: &str, status: u16, body: &[u8], most: usize| {
                assert!(status == 200 && body == sent, "{event} {how} {size}: {status} {}", body.len());
                let last = origin.last();
                let found = last.fields.iter().find(|(name, _)| name == "x-seen").map(|(_, value)| value.as_str());
                assert_eq!(found, Some(seen(most).as_str()), "{event} {how} {size}");
            };
            let reply = pop.send("POST", "/a", &[], &sent);
            got("HTTP/1.1", reply.status, &reply.body, most);
            let reply = chunked(&pop, &sent);
            got("in chunks", reply.status, &reply.body, 40 * KIB);
            let length = size.to_string();
            let reply = H2::plain(pop.http).send("POST", "/a", &[("content-length", &length)], &sent, &[]);
            got("HTTP/2", reply.status, &reply.body, most);
            for (how, trailers) in [("HTTP/2 without a length", &[][..]), ("HTTP/2 with trailers", &[("x-t", "1")])] {
                let reply = H2::plain(pop.http).send("POST", "/a", &[], &sent, trailers);
                got(how, reply.status, &reply.body, 40 * KIB);
            }
        }
    }
}

#[test]
fn a_viewers_and_an_origins_function_each_see_their_part_of_one_body() {
    let origin = mirror();
    let hooks = "viewer_request = { function = \"v\", include_body = true }\n\
                 origin_request = { function = \"o\", include_body = true }";
    let pop = seeing(&origin, &[("v", "x-v"), ("o", "x-o")], hooks);
    for (size, v, o) in [
        (1000, "1000 false", "1000 false"),
        (500_000, "40960 true", "500000 false"),
        (2_000_000, "40960 true", "1048576 true"),
    ] {
        let reply = pop.send("POST", "/a", &[], &body(size));
        assert!(reply.status == 200 && reply.body == body(size), "{size}: {}", reply.status);
        let last = origin.last();
        for (field, want) in [("x-v", v), ("x-o", o)] {
            let value = &last.fields.iter().find(|(name, _)| name == field).unwrap().1;
            assert!(value.starts_with(&format!("{want} ")), "{size} {field}: {value}");
        }
    }
}

/// What functions saw is sent to the next member again, as far as all that was read can be sent again.
#[test]
fn the_next_member_of_a_group_gets_the_body_whole() {
    let (first, second) = (Origin::start(|x| x.reply("503 Busy", "", "no")), mirror());
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.wat"), wat::idle()).unwrap();
    setup.rest = format!(
        "{}{}[[origin_group]]\nname = \"g\"\norigins = [\"a\", \"b\"]\nfailover = [503]\n\
         [[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"*\"\norigin = \"g\"\n{POST}\n\
         hooks = {{ origin_request = {{ function = \"f\", include_body = true }} }}\n",
        first.config("a"),
        second.config("b")
    );
    let pop = setup.start();
    for size in [1, 64 * KIB, 100 * KIB, 1000 * KIB, 1080 * KIB] {
        let reply = pop.send("OPTIONS", "/a", &[], &body(size));
        assert!(reply.status == 200 && reply.body == body(size), "{size}: {} {}", reply.status, reply.text());
        assert_eq!(first.last().body.len(), size);
    }
}

/// A PoP that holds so much of the bodies that its origin-request function sees.
fn holding(origin: &Origin, most: &str) -> Pop {
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("f.wat"), wat::idle()).unwrap();
    setup.rest = format!(
        "[limits]\nsigned_bodies = \"{most}\"\n{}[[function]]\nname = \"f\"\nfile = \"f.wat\"\n[[behavior]]\nmatch = \"*\"\n\
         origin = \"o\"\n{POST}\nhooks = {{ origin_request = {{ function = \"f\", include_body = true }} }}\n",
        origin.config("o")
    );
    setup.start()
}

/// What is on its way and cannot be sent again is not held.
#[test]
fn uploads_on_their_way_take_no_room_from_others() {
    let origin = mirror();
    let pop = holding(&origin, "1536KiB");
    let long = body(3000 * KIB);
    let mut slow = pop.raw();
    slow.send(format!("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", long.len()));
    slow.send(&long[..2000 * KIB]);
    // All that functions see of it is read: it was not the one that found no room.
    until("it is on its way", || (origin.connections() == 1).then_some(()));
    until("room", || (pop.send("POST", "/b", &[], &body(1000 * KIB)).status == 200).then_some(()));
    slow.send(&long[2000 * KIB..]);
    let reply = slow.reply("POST");
    assert!(reply.status == 200 && reply.body == long, "{}", reply.status);
}

/// What a behavior does not take, no function sees.
#[test]
fn a_body_that_is_too_large_for_its_behavior_is_not_read() {
    let origin = mirror();
    let hooks = "origin_request = { function = \"f\", include_body = true }";
    let pop = pop(&origin, &[("f", wat::idle())], &format!("{POST}\nforward = {{ body_size = \"100KiB\" }}"), hooks);
    assert_eq!(pop.send("POST", "/a", &[], &body(100 * KIB)).status, 200);
    let mut raw = pop.raw();
    raw.send(format!("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", 100 * KIB + 1));
    let reply = raw.reply("POST");
    assert_eq!(reply.status, 413);
    assert_eq!(calls(&pop, 2), []);
}

/// The same without a length, as far as functions would see of it.
#[test]
fn a_body_of_no_length_that_turns_out_too_large_is_shown_to_no_function() {
    let origin = mirror();
    for (event, most) in [("viewer_request", 1000), ("origin_request", 1000), ("viewer_request", 40 * KIB)] {
        let hooks = format!("{event} = {{ function = \"f\", include_body = true }}");
        let behavior = format!("{POST}\nforward = {{ body_size = \"{most}B\" }}");
        let pop = pop(&origin, &[("f", wat::idle())], &behavior, &hooks);
        assert_eq!(chunked(&pop, &body(most)).status, 200, "{event} {most}");
        let taken = origin.count();
        assert_eq!(chunked(&pop, &body(most + 1)).status, 413, "{event} {most}");
        assert_eq!(calls(&pop, 2), [], "{event} {most}");
        assert_eq!(H2::plain(pop.http).send("POST", "/a", &[], &body(most + 1), &[]).status, 413, "{event} {most}");
        assert_eq!(calls(&pop, 3), [], "{event} {most}");
        assert_eq!(origin.count(), taken, "{event} {most}");
    }
}

/// RFC 9110 §15.3.6: unlike a 204 it says that nothing follows.
#[test]
fn what_functions_make_a_205_has_no_body() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", "from the origin");
    for event in ["viewer_request", "origin_request", "origin_response", "viewer_response"] {
        let function = match event.ends_with("request") {
            true => Flat::new().respond(205, &[], ""),
            false => Flat::new().status(205),
        };
        let pop = pop(&origin, &[("f", function.wat())], "", &format!("{event} = \"f\""));
        let mut raw = pop.raw();
        // The second is a hit, where there is one.
        for _ in 0..2 {
            raw.send(format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            let reply = raw.reply("GET");
            let got = (reply.status, reply.text(), reply.field("content-length").map(str::to_owned));
            assert_eq!(got, (205, String::new(), Some("0".to_owned())), "{event}");
        }
        // A part stays one, whatever status a viewer's function wants for it.
        if event == "viewer_response" {
            let part = pop.get_with("/a", &[("Range", "bytes=0-3")]);
            assert_eq!(
                (part.status, part.text().as_str(), part.field("content-range")),
                (206, "from", Some("bytes 0-3/15"))
            );
        }
    }
}

/// What ended with its head is said to have no body where its new status may have one; and the connection goes on.
#[test]
fn a_204_that_functions_make_another_status_is_framed() {
    let origin = Origin::start(|x| x.reply("204 No Content", "", ""));
    for event in ["origin_response", "viewer_response"] {
        for status in [200, 205, 404] {
            let pop = pop(&origin, &[("f", Flat::new().status(status).wat())], "", &format!("{event} = \"f\""));
            let mut raw = pop.raw();
            for _ in 0..2 {
                raw.send(format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
                let reply = raw.reply("GET");
                let got = (reply.status, reply.text(), reply.field("content-length").map(str::to_owned));
                assert_eq!(got, (status, String::new(), Some("0".to_owned())), "{event}");
            }
        }
    }
}

/// It writes no body: an upload that cannot be sent again is no matter.
#[test]
fn an_empty_answer_to_a_large_upload_may_be_a_205() {
    let origin = Origin::start(|x| x.reply("200 OK", "", ""));
    let pop = pop(&origin, &[("f", Flat::new().status(205).wat())], POST, "origin_response = \"f\"");
    assert_eq!(pop.send("POST", "/a", &[], &body(100_000)).status, 205);
}

#[test]
fn bodies_that_functions_see_are_held_within_a_bound() {
    let origin = mirror();
    let pop = holding(&origin, "512KiB");
    for _ in 0..2 {
        // What was refused gives its room back once its request has ended, which is after its answer came.
        let reply =
            until("room", || Some(pop.send("POST", "/a", &[], &body(500 * KIB))).filter(|reply| reply.status == 200));
        assert!(reply.body == body(500 * KIB));
        let mut raw = pop.raw();
        raw.send(format!("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", 900 * KIB));
        let _ = raw.try_send(body(900 * KIB));
        assert_eq!(raw.reply("POST").status, 503);
    }
}

#[test]
fn request_bodies_are_seen_when_asked_for_and_may_be_replaced() {
    for event in ["viewer_request", "origin_request"] {
        let origin = Origin::start(|x| {
            let body = x.request.body.clone();
            x.reply("200 OK", "", body);
        });
        let replace = Flat::new().body("from the function").wat();
        let behavior = "methods = \"all\"\ncache = false";
        let hooks = format!("{event} = {{ function = \"f\", include_body = true }}");
        let pop = pop(&origin, &[("f", replace), ("idle", wat::idle())], behavior, &hooks);
        let long = vec![b'x'; 100_000];
        for body in [&b"short"[..], &long] {
            let reply = pop.send("POST", "/a", &[], body);
            assert_eq!(reply.text(), "from the function", "{event} {}", body.len());
        }
        let length = origin.last().fields.iter().find(|(name, _)| name == "content-length").unwrap().1.clone();
        assert_eq!(length, "17", "{event}");
    }
}

#[test]
fn a_body_that_was_shown_reaches_the_origin_whole() {
    for event in ["viewer_request", "origin_request"] {
        let origin = Origin::start(|x| {
            let body = x.request.body.clone();
            x.reply("200 OK", "", body);
        });
        let hooks = format!("{event} = {{ function = \"idle\", include_body = true }}");
        let pop = pop(&origin, &[("idle", wat::idle())], "methods = \"all\"\ncache = false", &hooks);
        for size in [0, 1, 1000, (40 << 10) - 1, 40 << 10, (40 << 10) + 1, 64 << 10, (64 << 10) + 1, 1 << 20] {
            let body: Vec<u8> = (0..size).map(|n| b'a' + (n % 23) as u8).collect();
            let reply = pop.send("POST", "/a", &[], &body);
            assert!(reply.status == 200 && reply.body == body, "{event} {size}: {} {}", reply.status, reply.body.len());
        }
    }
}

#[test]
fn a_function_sees_the_body_only_if_its_own_association_includes_it() {
    let handler = "exports.handler = async (event) => {\n\
                     const request = event.Records[0].cf.request;\n\
                     const seen = request.body ? Buffer.from(request.body.data, 'base64').toString() : 'none';\n\
                     const before = request.headers['x-body'] || [];\n\
                     request.headers['x-body'] = before.concat({ key: 'X-Body', value: seen });\n\
                     return request;\n\
                   };\n";
    for event in ["viewer_request", "origin_request"] {
        let origin = Origin::start(|x| {
            let body = x.request.body.clone();
            x.reply("200 OK", "", body);
        });
        let mut setup = Setup::new("");
        std::fs::write(setup.dir().join("f.js"), handler).unwrap();
        setup.rest = format!(
            "{}[[function]]\nname = \"f\"\nfile = \"f.js\"\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\nmethods = \"all\"\n\
             cache = false\nforward = {{ headers = \"all\" }}\n\
             hooks = {{ {event} = [\"f\", {{ function = \"f\", include_body = true }}, \"f\"] }}\n",
            origin.config("o")
        );
        let pop = setup.start();
        let reply = pop.send("POST", "/a", &[], b"words");
        assert_eq!((reply.status, reply.text().as_str()), (200, "words"), "{event}");
        let last = origin.last();
        let seen = last.fields.iter().filter(|(name, _)| name == "x-body").map(|(_, value)| value.as_str());
        assert_eq!(seen.collect::<Vec<_>>().join(","), "none,words,none", "{event}");
    }
}

/// An upload is not sent again: its answer stays, with the function's body in place of the origin's.
#[test]
fn an_origin_response_function_replaces_the_answer_to_a_large_upload() {
    for (status, sent) in [("200 OK", "from the origin"), ("404 Not Found", "from the origin, at more length")] {
        let origin = Origin::start(move |x| x.reply(status, "Cache-Control: no-store\r\n", sent));
        let replace = Flat::new().set("x-function", "1").body("from the function").wat();
        let behavior = format!("{POST}\nforward = {{ body_size = \"4MiB\" }}");
        for seen in ["", "viewer_request", "origin_request"] {
            let seen = match seen {
                "" => String::new(),
                event => format!("\n{event} = {{ function = \"idle\", include_body = true }}"),
            };
            let functions = [("f", replace.clone()), ("idle", wat::idle())];
            let pop = pop(&origin, &functions, &behavior, &format!("origin_response = \"f\"{seen}"));
            for size in [10, 60_000, 65_537, 100_000, 1_000_000, 1_114_112, 3_000_000] {
                let reply = pop.send("POST", "/a", &[], &vec![b'x'; size]);
                assert_eq!(
                    (reply.status.to_string().as_str(), reply.text().as_str(), reply.field("x-function")),
                    (&status[..3], "from the function", Some("1")),
                    "{status} {sent:?} {size} {seen}"
                );
            }
        }
        let small = pop(
            &origin,
            &[("f", replace)],
            &format!("{POST}\nforward = {{ body_size = \"100KiB\" }}"),
            "origin_response = \"f\"",
        );
        assert_eq!(small.send("POST", "/a", &[], &[b'x'; 60_000]).text(), "from the function", "it counts once");
    }
}
