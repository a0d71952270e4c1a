//! Mutations: every vector, altered in every way that matters. None verifies.

use rimward::access::sigv4::Verifier;

use crate::vectors::{self, Vector};
use crate::wire::{NOW, Sent};

const SKEW: u64 = 900_000;
const EXPIRES: u64 = 3_600_000;
/// Of the asymmetric ones, whose checks are slow, every so many are tried.
const ASYMMETRIC_STEP: usize = 9;

/// Altered requests of a vector, each with what was done and the time.
fn mutations(vector: &Vector) -> Vec<(String, Sent, u64)> {
    let good = &vector.sent;
    let mut out = Vec::new();
    let mut add = |what: String, sent: Sent| out.push((what, sent, NOW));
    let with = |change: &dyn Fn(&mut Sent)| {
        let mut sent = good.clone();
        change(&mut sent);
        sent
    };

    add("method".to_owned(), with(&|sent| sent.method = "PUT".to_owned()));
    add("method's case".to_owned(), with(&|sent| sent.method = sent.method.to_lowercase()));
    // Each byte of path and query; a changed slash or dot may be the same path, and so is what "/.." takes away again.
    let gone = if vector.signer.normalize { good.target.rfind("/..").unwrap_or(0) } else { 0 };
    for (at, byte) in good.target.bytes().enumerate() {
        let flipped = byte ^ 1;
        if at >= gone && byte.is_ascii() && !matches!(byte, b'/' | b'.') && !matches!(flipped, b'/' | b'.' | b'#') {
            let mut bytes = good.target.clone().into_bytes();
            bytes[at] = flipped;
            add(format!("target byte {at}"), with(&|sent| sent.target = String::from_utf8(bytes.clone()).unwrap()));
        }
    }
    let (path, query) = good.target.split_once('?').unwrap_or((&good.target, ""));
    add("longer path".to_owned(), with(&|sent| sent.target = format!("{path}x?{query}")));
    let joint = if query.is_empty() { "" } else { "&" };
    add("another parameter".to_owned(), with(&|sent| sent.target = format!("{path}?{query}{joint}zz=1")));
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let rest: Vec<_> = query.split('&').filter(|other| *other != parameter).collect();
        add(format!("without {parameter}"), with(&|sent| sent.target = format!("{path}?{}", rest.join("&"))));
        add(format!("twice {parameter}"), with(&|sent| sent.target = format!("{path}?{query}&{parameter}")));
    }
    headers(vector, &mut add);
    add("another x-amz header".to_owned(), with(&|sent| sent.fields.push(("X-Amz-Meta-A".into(), "1".into()))));
    add("two hosts".to_owned(), with(&|sent| sent.fields.push(("Host".into(), "other.example".into()))));
    if vector.presigned {
        let other =
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws4_request, SignedHeaders=host, Signature=0";
        add("both modes".to_owned(), with(&|sent| sent.fields.push(("Authorization".into(), other.into()))));
    } else {
        add(
            "both modes".to_owned(),
            with(&|sent| sent.target = format!("{path}?{query}{joint}X-Amz-Algorithm=AWS4-HMAC-SHA256")),
        );
    }
    if !good.body.is_empty() {
        add("body".to_owned(), with(&|sent| sent.body[0] ^= 1));
        add("longer body".to_owned(), with(&|sent| sent.body.push(b'x')));
        add("no body".to_owned(), with(&|sent| sent.body.clear()));
    } else {
        add("a body".to_owned(), with(&|sent| sent.body.push(b'x')));
    }
    for (from, to) in [
        ("AKIDEXAMPLE", "AKIDEXAMPLF"),
        ("20150830/", "20150831/"),
        ("20150830%2F", "20150829%2F"),
        ("/us-east-1/", "/us-east-2/"),
        ("%2Fus-east-1%2F", "%2Fus-west-1%2F"),
        ("/service/", "/servic/"),
        ("%2Fservice%2F", "%2Fservices%2F"),
        ("aws4_request", "aws4_reques"),
        ("aws4_request", "aws4_request/x"),
        ("20150830/", "20150830/x/"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA256"),
        ("SignedHeaders=host", "SignedHeaders=Host"),
        ("SignedHeaders=host", "SignedHeaders=host;host"),
        ("SignedHeaders=host", "SignedHeaders=x-none;host"),
        ("X-Amz-Region-Set=us-east-1", "X-Amz-Region-Set=us-east-2"),
        ("X-Amz-Region-Set=us-east-1", "X-Amz-Region-Set=*"),
    ] {
        let altered = with(&|sent| {
            sent.target = sent.target.replace(from, to);
            sent.set("authorization", |value| value.replace(from, to));
        });
        if altered != *good {
            add(format!("{from} → {to}"), altered);
        }
    }
    times(vector, &mut out);
    out
}

/// Signed headers: altered, gone, twice, in another order; and each digit of the signature.
fn headers(vector: &Vector, add: &mut impl FnMut(String, Sent)) {
    let good = &vector.sent;
    for (at, (name, value)) in good.fields.iter().enumerate() {
        let with = |change: &dyn Fn(&mut Sent)| {
            let mut sent = good.clone();
            change(&mut sent);
            sent
        };
        // A name within a run of its like may lose a line only where another remains.
        add(format!("without {name}"), with(&|sent| drop(sent.fields.remove(at))));
        // A Host that is there twice, alike, is one Host.
        if !name.eq_ignore_ascii_case("host") {
            add(format!("twice {name}"), with(&|sent| sent.fields.insert(at, sent.fields[at].clone())));
        }
        for (byte, old) in value.bytes().enumerate() {
            // White space and commas between parts of Authorization may be changed.
            if name.eq_ignore_ascii_case("authorization") && matches!(old, b' ' | b',') {
                continue;
            }
            let mut bytes = value.clone().into_bytes();
            bytes[byte] ^= 1;
            if let (true, Ok(value)) = (!matches!(bytes[byte], b' ' | b'\t'), String::from_utf8(bytes)) {
                add(format!("{name} byte {byte}"), with(&|sent| sent.fields[at].1.clone_from(&value)));
            }
        }
        if let Some((next, other)) = good.fields.get(at + 1)
            && next.eq_ignore_ascii_case(name)
            && other != value
        {
            add(format!("{name} in another order"), with(&|sent| sent.fields.swap(at, at + 1)));
        }
        if name.eq_ignore_ascii_case("authorization") {
            let (start, signature) = value.rsplit_once('=').unwrap();
            for altered in
                [signature.to_uppercase(), signature[1..].to_owned(), format!("{signature}00"), String::new()]
            {
                add(format!("signature {altered}"), with(&|sent| sent.fields[at].1 = format!("{start}={altered}")));
            }
            let (first, rest) = value.split_at(value.len() / 2);
            add(
                "Authorization in two lines".to_owned(),
                with(&|sent| {
                    sent.fields[at].1 = first.to_owned();
                    sent.fields.insert(at + 1, ("Authorization".to_owned(), rest.to_owned()));
                }),
            );
        }
    }
}

fn times(vector: &Vector, out: &mut Vec<(String, Sent, u64)>) {
    let late = if vector.presigned { EXPIRES } else { SKEW };
    for (what, now) in
        [("too late", NOW + late + 1000), ("too early", NOW - SKEW - 1000), ("a day late", NOW + 86_400_000)]
    {
        out.push((what.to_owned(), vector.sent.clone(), now));
    }
    for date in ["20150830T123601Z", "20150831T123600Z", "20150829T123600Z", "20150830T123600", "2015-08-30T12:36:00Z"]
    {
        let mut sent = vector.sent.clone();
        sent.target = sent.target.replace("X-Amz-Date=20150830T123600Z", &format!("X-Amz-Date={date}"));
        sent.set("x-amz-date", |_| date.to_owned());
        out.push((format!("date {date}"), sent, NOW));
    }
}

#[test]
fn no_altered_vector_verifies() {
    let (mut tried, mut wrong) = ([0, 0], Vec::new());
    for vector in vectors::all() {
        let verifier = Verifier::new(&vector.signer);
        for (at, (what, sent, now)) in mutations(&vector).into_iter().enumerate() {
            if vector.asymmetric && at % ASYMMETRIC_STEP != 0 {
                continue;
            }
            tried[usize::from(vector.asymmetric)] += 1;
            if sent.verify(&verifier, now).is_ok() {
                wrong.push(format!("{}: {what}", vector.name));
            }
        }
        // And at the very ends of its time it does.
        let late = if vector.presigned { EXPIRES } else { SKEW };
        for now in [NOW + late, NOW - SKEW] {
            assert!(vector.sent.verify(&verifier, now).is_ok(), "{} at {now}", vector.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {tried:?}:\n{}", wrong.len(), wrong.join("\n"));
    println!("altered requests: {} SigV4, {} SigV4a", tried[0], tried[1]);
    assert!(tried[0] > 20_000 && tried[1] > 2_000, "{tried:?}");
}
