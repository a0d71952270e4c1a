//! Ways: what may differ between signers without being wrong, signed here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::*;

const DATE: &str = "20150830T123600Z";

fn hash(text: &[u8]) -> String {
    hex(digest(&SHA256, text).as_ref())
}

/// `Authorization` over a canonical request.
fn authorization(canonical: &str, signed: &str) -> String {
    let scope = "20150830/us-east-1/service/aws4_request";
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive_day_key(SECRET, "20150830", "us-east-1", "service"));
    let text = format!("AWS4-HMAC-SHA256\n{DATE}\n{scope}\n{}", hash(canonical.as_bytes()));
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed}, Signature={signature}")
}

fn header(canonical: &str, signed: &str, more: &[(&'static str, &str)]) -> Case {
    let authorization = authorization(canonical, signed);
    let mut fields = vec![("authorization", authorization.as_str())];
    fields.extend_from_slice(more);
    if !more.iter().any(|(name, _)| *name == "date") {
        fields.push(("x-amz-date", DATE));
    }
    Case::new(None, &fields)
}

#[test]
fn what_signers_may_do() {
    let signer = signer(vec![secret("AKIDEXAMPLE")]);
    let empty = hex(&EMPTY);
    let plain = |host: &str| format!("GET\n/\n\nhost:{host}\nx-amz-date:{DATE}\n\nhost;x-amz-date\n{empty}");
    let ported = |case: &Case, host: &'static str| {
        let mut fields = case.fields.clone();
        fields.insert("host", host.parse().unwrap());
        let asked = Asked { host, fields: &fields, ..case.asked() };
        Verifier::new(&signer).verify(&asked, false).is_ok()
    };
    let case = header(&plain("h.example"), "host;x-amz-date", &[]);
    assert!(ported(&case, "h.example"));
    assert!(ported(&case, "h.example:443"), "a default port that the client did not sign");
    assert!(!ported(&case, "h.example:80") && !ported(&case, "h.example:8443"));
    let case = header(&plain("h.example:443"), "host;x-amz-date", &[]);
    assert!(ported(&case, "h.example:443") && !ported(&case, "h.example"));

    let authority = plain("example.amazonaws.com").replace("host", ":authority");
    assert!(header(&authority, ":authority;x-amz-date", &[]).ask(&signer).is_ok());

    let date = "Sun, 30 Aug 2015 12:36:00 GMT";
    let dated = format!("GET\n/\n\ndate:{date}\nhost:example.amazonaws.com\n\ndate;host\n{empty}");
    assert!(header(&dated, "date;host", &[("date", date)]).ask(&signer).is_ok());
    let undated = format!("GET\n/\n\nhost:example.amazonaws.com\n\nhost\n{empty}");
    assert!(header(&undated, "host", &[("date", date)]).ask(&signer).is_err(), "the date must be signed");

    let good = plain("example.amazonaws.com");
    assert!(header(&good, "host;x-amz-date", &[("x-amz-cf-id", "added on the way")]).ask(&signer).is_ok());
    assert!(header(&good, "host;x-amz-date", &[("x-amzn-trace-id", "added on the way")]).ask(&signer).is_ok());
    assert!(header(&good, "host;x-amz-date", &[("x-amz-acl", "public-read")]).ask(&signer).is_err());
}

#[test]
fn a_body_whose_hash_is_not_told_is_waited_for() {
    let signer = signer(vec![secret("AKIDEXAMPLE")]);
    let canonical =
        |hash: &str| format!("GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:{DATE}\n\nhost;x-amz-date\n{hash}");
    let body = <[u8; 32]>::try_from(digest(&SHA256, b"body").as_ref()).unwrap();
    let case = header(&canonical(&hash(b"body")), "host;x-amz-date", &[]);
    let verifier = Verifier::new(&signer);
    let pending = || match verifier.verify(&case.asked(), true).unwrap() {
        Outcome::NeedsBody(pending) => pending,
        Outcome::Verified(_) => panic!("it cannot be known"),
    };
    assert!(matches!(pending().finish(body).unwrap().payload, Payload::Hash(hash) if hash == body));
    assert_eq!(reason(pending().finish([0; 32])), Some(Reason::SignatureInvalid));
    assert!(verifier.verify(&case.asked(), false).is_err(), "the body is gone");

    // A key that does not exist is waited for just as well.
    let nobody = Verifier::new(&self::signer(vec![secret("AKIDOTHER")]));
    let Ok(Outcome::NeedsBody(pending)) = nobody.verify(&case.asked(), true) else { panic!("it tells") };
    assert_eq!(reason(pending.finish(body)), Some(Reason::SignatureInvalid));
}

#[test]
fn payloads_are_accepted_by_policy() {
    let signer = |unsigned| Signer {
        payload: PayloadPolicy { unsigned, chunked: false },
        ..signer(vec![secret("AKIDEXAMPLE")])
    };
    let canonical = |text: &str| {
        format!(
            "GET\n/\n\nhost:example.amazonaws.com\nx-amz-content-sha256:{text}\nx-amz-date:{DATE}\n\n\
             host;x-amz-content-sha256;x-amz-date\n{text}"
        )
    };
    let case = |text: &str| {
        header(&canonical(text), "host;x-amz-content-sha256;x-amz-date", &[("x-amz-content-sha256", text)])
    };
    let ask = |case: &Case, unsigned, body| match Verifier::new(&signer(unsigned)).verify(&case.asked(), body) {
        Ok(Outcome::Verified(verified)) => Some(verified.payload),
        _ => None,
    };
    let unsigned = case("UNSIGNED-PAYLOAD");
    assert!(matches!(ask(&unsigned, true, true), Some(Payload::Unsigned)));
    assert!(ask(&unsigned, false, true).is_none());
    let hashed = case(&hash(b"body"));
    assert!(matches!(ask(&hashed, false, true), Some(Payload::Hash(_))));
    assert!(ask(&hashed, false, false).is_none(), "a hash of a body that is not there");
    assert!(ask(&case("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), true, true).is_none());
    assert!(ask(&case("x"), true, true).is_none());
}

#[test]
fn region_sets_cover() {
    // A key pair of its own: the verifier knows the point.
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let material = KeyMaterial::Public(pair.public_key().as_ref().to_vec());
    let sign = |set: &str, path: &'static str| {
        let signed = "host;x-amz-date;x-amz-region-set";
        let canonical = format!(
            "GET\n{path}\n\nhost:example.amazonaws.com\nx-amz-date:{DATE}\nx-amz-region-set:{set}\n\n{signed}\n{}",
            hex(&EMPTY)
        );
        let scope = "20150830/service/aws4_request";
        let text = format!("AWS4-ECDSA-P256-SHA256\n{DATE}\n{scope}\n{}", hash(canonical.as_bytes()));
        let signature = hex(pair.sign(&aws_lc_rs::rand::SystemRandom::new(), text.as_bytes()).unwrap().as_ref());
        let value = format!(
            "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed}, Signature={signature}"
        );
        Case::new(None, &[("x-amz-date", DATE), ("x-amz-region-set", set), ("authorization", &value)])
    };
    let regions = |regions: &[&str]| Signer {
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        ..signer(vec![key("AKIDEXAMPLE", material.clone())])
    };
    for (set, own, region) in [
        ("us-east-1", &["us-east-1"][..], Some("us-east-1")),
        ("eu-west-1,us-east-1", &["us-east-1"], Some("us-east-1")),
        ("us-*", &["eu-west-1", "us-east-2"], Some("us-east-2")),
        ("*", &["eu-west-1"], Some("eu-west-1")),
        ("*", &[], Some("*")),
        ("eu-*", &["us-east-1"], None),
        ("us-east", &["us-east-1"], None),
        ("us-east-1:1:other", &[], None),
        ("us-east-1,", &["us-east-1"], None),
    ] {
        let verified = sign(set, "/").ask(&regions(own)).ok().map(|verified| verified.region);
        assert_eq!(verified.as_deref(), region, "{set} {own:?}");
    }
    assert!(sign("*", "/other").ask(&regions(&[])).is_err());
    let hmac_only = signer(vec![secret("AKIDEXAMPLE")]);
    assert!(sign("us-east-1", "/").ask(&hmac_only).is_err(), "another key signed");
    assert!(Case::header().ask(&regions(&["us-east-1"])).is_err(), "a point is no secret");
}

#[test]
fn chunks_are_chained_with_ecdsa() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let random = aws_lc_rs::rand::SystemRandom::new();
    let keys =
        key::Keys::new(Arc::new(vec![key("AKIDEXAMPLE", KeyMaterial::Public(pair.public_key().as_ref().to_vec()))]));
    let prover = keys.asymmetric(Some(0)).unwrap().prover;
    let link = |previous: &str, data: &[u8]| {
        let text = format!("AWS4-ECDSA-P256-SHA256-PAYLOAD\nD\nS\n{previous}\n{}\n{}", hex(&EMPTY), hash(data));
        hex(pair.sign(&random, text.as_bytes()).unwrap().as_ref())
    };
    let kind = chunked::Kind { signed: Some(Algorithm::Ecdsa), trailer: false };
    let chunked = Chunked::new(kind, 5, Vec::new(), prover, "D\nS\n".to_owned(), "seed".to_owned());
    let verified = Verified { payload: Payload::Chunked(Box::new(chunked)), ..Case::header_verified() };
    let one = link("seed", b"hello");
    let end = link(&one, b"");
    // Padded to 144 digits, as the SDKs do; the chain goes on without the padding.
    for (data, good) in [("hello", true), ("hellp", false)] {
        let wire = format!("5;chunk-signature={one:*<144}\r\n{data}\r\n0;chunk-signature={end:*<144}\r\n\r\n");
        let mut check = PayloadCheck::new(&verified);
        let pushed = check.push(Bytes::from(wire));
        assert_eq!(pushed.is_ok() && check.finish().is_ok_and(|rest| rest == b"hello".as_slice()), good);
    }
}
