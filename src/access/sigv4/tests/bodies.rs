//! Bodies: S3's documented example in chunks, and every sort of altered one.

use http::HeaderValue;

use super::*;

/// 66,560 bytes, as documented.
const LENGTH: usize = 66_560;
const DOCUMENTED: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const CHUNKS: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];

fn s3() -> Signer {
    Signer {
        service: "s3".to_owned(),
        payload: PayloadPolicy { unsigned: true, chunked: true },
        normalize: false,
        ..signer(vec![key("AKIAIOSFODNN7EXAMPLE", KeyMaterial::Secret(Secret::new(DOCUMENTED.to_owned())))])
    }
}

/// The documentation's request: PUT, 2013-05-24.
fn documented(change: impl Fn(&mut HeaderMap)) -> Result<Outcome, Denied> {
    let mut case = Case::new(None, &[]);
    case.fields.clear();
    for (name, value) in [
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
    ] {
        case.fields.append(name, value.parse().unwrap());
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=\
         content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class,Signature={SEED}"
    );
    case.fields.append("authorization", authorization.parse().unwrap());
    change(&mut case.fields);
    let asked = Asked {
        method: "PUT",
        host: "s3.amazonaws.com",
        path: "/examplebucket/chunkObject.txt",
        now_ms: 1_369_353_600_000,
        ..case.asked()
    };
    Verifier::new(&s3()).verify(&asked, true)
}

fn verified(outcome: Result<Outcome, Denied>) -> Verified {
    match outcome.unwrap() {
        Outcome::Verified(verified) => verified,
        Outcome::NeedsBody(_) => panic!("the payload is declared"),
    }
}

fn wire() -> Vec<u8> {
    let mut wire = Vec::new();
    for (size, signature) in [65_536, 1024, 0].into_iter().zip(CHUNKS) {
        wire.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        wire.resize(wire.len() + size, b'a');
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// What reaches the origin, and whether the end is good.
fn run(verified: &Verified, wire: &[u8], step: usize) -> (Vec<u8>, bool) {
    let mut check = PayloadCheck::new(verified);
    let mut got = Vec::new();
    for piece in wire.chunks(step) {
        match check.push(Bytes::copy_from_slice(piece)) {
            Ok(bytes) => got.extend_from_slice(&bytes),
            Err(_) => {
                assert!(check.push(Bytes::from_static(b"x")).is_err() && check.finish().is_err(), "it stays so");
                return (got, false);
            }
        }
    }
    match check.finish() {
        Ok(bytes) => {
            got.extend_from_slice(&bytes);
            (got, true)
        }
        Err(_) => (got, false),
    }
}

#[test]
fn the_documented_example_is_decoded() {
    let verified = verified(documented(|_| {}));
    assert_eq!(PayloadCheck::new(&verified).decoded_length(), Some(LENGTH as u64));
    assert_eq!(wire().len(), 66_824);
    for step in [1, 7, 85, 4096, 65_536, 100_000] {
        let (got, good) = run(&verified, &wire(), step);
        assert!(good && got.len() == LENGTH && got.iter().all(|b| *b == b'a'), "{step}");
    }
}

#[test]
fn an_altered_chunk_never_completes() {
    let verified = verified(documented(|_| {}));
    let good = wire();
    let mut tried = 0;
    // Every byte of the framing, and some of the data.
    for at in (0..90).chain((90..65_620).step_by(9973)).chain(65_620..65_720).chain(66_730..good.len()) {
        let mut wire = good.clone();
        wire[at] ^= 1;
        let (got, complete) = run(&verified, &wire, 8192);
        // The size in upper case or with another leading digit is another size or the same one.
        assert!(!complete && got.len() < LENGTH, "byte {at}");
        tried += 1;
    }
    for cut in [1, 2, 3, 84, 86, 87, 500, 1200, 66_000] {
        let (got, complete) = run(&verified, &good[..good.len() - cut], 8192);
        assert!(!complete && got.len() < LENGTH, "cut by {cut}");
    }
    for junk in [&b"x\n"[..], b"junk"] {
        let (_, complete) = run(&verified, &[good.as_slice(), junk].concat(), 8192);
        assert!(!complete, "{junk:?} after the end");
    }
    assert!(tried > 250, "{tried}");
}

#[test]
fn chunked_requests_say_what_they_must() {
    let set = |name: &'static str, value: &'static str| {
        documented(move |fields| {
            fields.insert(name, HeaderValue::from_static(value));
        })
    };
    assert!(set("x-amz-decoded-content-length", "66561").is_err());
    assert!(set("x-amz-decoded-content-length", "+66560").is_err());
    assert!(set("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER").is_err());
    assert!(set("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD").is_err());
    assert!(set("x-amz-content-sha256", "STREAMING-NEW").is_err());
    assert!(set("x-amz-trailer", "x-amz-checksum-crc32").is_err());
    assert!(documented(|fields| drop(fields.remove("x-amz-decoded-content-length"))).is_err());
}

/// A decoder of its own chain: day key, and what the documented one has else.
fn chunked(signed: Option<Algorithm>, length: u64, trailers: &[&str]) -> (Verified, aws_lc_rs::hmac::Key) {
    let key = || aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"k");
    let kind = chunked::Kind { signed, trailer: true };
    let names = trailers.iter().map(|name| (*name).to_owned()).collect();
    let prover = key::Prover::Hmac(Arc::new(key()));
    let chunked = Chunked::new(kind, length, names, prover, "D\nS\n".to_owned(), "seed".to_owned());
    let verified = Verified { payload: Payload::Chunked(Box::new(chunked)), ..verified(documented(|_| {})) };
    (verified, key())
}

fn link(key: &aws_lc_rs::hmac::Key, what: &str, previous: &str, tail: &str) -> String {
    let text = format!("AWS4-HMAC-SHA256-{what}\nD\nS\n{previous}\n{tail}");
    hex(aws_lc_rs::hmac::sign(key, text.as_bytes()).as_ref())
}

#[test]
fn signed_trailers() {
    let hash = |data: &str| hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data.as_bytes()).as_ref());
    let (verified, key) = chunked(Some(Algorithm::Hmac), 5, &["x-amz-checksum-crc32"]);
    let payload = |data: &str| format!("{}\n{}", hex(&EMPTY), hash(data));
    let one = link(&key, "PAYLOAD", "seed", &payload("hello"));
    let end = link(&key, "PAYLOAD", &one, &payload(""));
    let trailer = link(&key, "TRAILER", &end, &hash("x-amz-checksum-crc32:NhCmhg==\n"));
    let body = format!("5;chunk-signature={one}\r\nhello\r\n0;chunk-signature={end}\r\n");
    let field = "x-amz-checksum-crc32:NhCmhg==";
    for (rest, good) in [
        (format!("{field}\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"), true),
        (format!("{field}\n\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"), true),
        (format!("{field}\r\n\r\n"), false),
        (format!("{field}\r\nx-amz-trailer-signature:{trailer}\r\n"), false),
        (format!("x-amz-checksum-crc32:AhCmhg==\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"), false),
        (format!("{field}\r\nx-amz-trailer-signature:{end}\r\n\r\n"), false),
        (format!("x-amz-trailer-signature:{trailer}\r\n\r\n"), false),
        (format!("{field}\r\nx-amz-trailer-signature:{trailer}\r\nx-other:1\r\n\r\n"), false),
        (format!("{field}\r\nx-other:1\r\nx-amz-trailer-signature:{trailer}\r\n\r\n"), false),
        ("\r\n".to_owned(), false),
        ("\r\n".repeat(100), false),
    ] {
        for step in [1, 1000] {
            let (got, complete) = run(&verified, format!("{body}{rest}").as_bytes(), step);
            assert_eq!(complete, good, "{rest}");
            assert!(!good || got == b"hello");
            assert!(good || got.len() < 5);
        }
    }
}

#[test]
fn unsigned_chunks_with_a_trailer() {
    let (verified, _) = chunked(None, 8, &["x-amz-checksum-crc32"]);
    for (wire, good) in [
        ("5\r\nhello\r\n3\r\nyou\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", true),
        ("5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", false),
        ("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", false),
        ("9\r\nhelloyous\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", false),
        ("5;chunk-signature=x\r\nhello\r\n", false),
        ("ffffffffffffffffff\r\n", false),
        ("+5\r\nhello\r\n", false),
        ("5\nhello\r\n", false),
        ("5\r\nhelloX\r\n", false),
        ("", false),
    ] {
        for step in [1, 3, 1000] {
            let (got, complete) = run(&verified, wire.as_bytes(), step);
            assert_eq!(complete, good, "{wire}");
            assert!(if good { got == b"helloyou" } else { got.len() < 8 }, "{wire}: {}", got.len());
        }
    }
    let (_, complete) = run(&verified, "x".repeat(MAX_LINE + 1).as_bytes(), 100);
    assert!(!complete);
}

#[test]
fn a_hashed_body_is_kept_short_until_the_end() {
    let base = verified(documented(|_| {}));
    let body = b"hello, world";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let hash = <[u8; 32]>::try_from(hash.as_ref()).unwrap();
    let hashed = Verified { payload: Payload::Hash(hash), ..base.clone() };
    for step in [1, 5, 100] {
        assert_eq!(run(&hashed, body, step), (body.to_vec(), true));
        for at in 0..body.len() {
            let mut altered = *body;
            altered[at] ^= 0x20;
            let (got, complete) = run(&hashed, &altered, step);
            assert!(!complete && got.len() < body.len());
        }
        let (got, complete) = run(&hashed, b"hello, world!", step);
        assert!(!complete && got.len() < 13);
    }
    let empty = Verified { payload: Payload::Hash(EMPTY), ..base.clone() };
    assert_eq!(run(&empty, b"", 1), (vec![], true));
    assert!(!run(&empty, b"x", 1).1);
    let unsigned = Verified { payload: Payload::Unsigned, ..base };
    assert_eq!(run(&unsigned, body, 5), (body.to_vec(), true));
}
