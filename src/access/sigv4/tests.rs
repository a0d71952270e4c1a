//! Requests that are signed, and what becomes of them: the documented examples, and every sort of wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::*;
use crate::access::{Asked, Denied, Reason};
use crate::config::compiled::{AccessKey, DayKey, KeyMaterial, PayloadPolicy, Signer};
use crate::config::iam::Policy;
use crate::config::secret::Secret;

mod bodies;
mod ways;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z.
const NOW: u64 = 1_440_938_160_000;
const GOOD: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                    SignedHeaders=host;x-amz-date, \
                    Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2F\
                         service%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600\
                         &X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d";

fn key(id: &str, material: KeyMaterial) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        material,
        session_token: None,
        principal: format!("arn:aws:iam::123456789012:user/{id}"),
        policy: None,
    }
}

fn secret(id: &str) -> AccessKey {
    key(id, KeyMaterial::Secret(Secret::new(SECRET.to_owned())))
}

fn signer(keys: Vec<AccessKey>) -> Signer {
    Signer {
        name: "s".to_owned(),
        service: "service".to_owned(),
        regions: vec!["us-east-1".to_owned()],
        skew: Duration::from_secs(900),
        payload: PayloadPolicy::default(),
        normalize: true,
        keys: Arc::new(keys),
        action: "execute-api:Invoke".to_owned(),
        resource: "arn:aws:execute-api:$region:1:api/prod/$method/$path".to_owned(),
    }
}

struct Case {
    path: &'static str,
    query: Option<String>,
    fields: HeaderMap,
    now_ms: u64,
}

impl Case {
    fn new(query: Option<&str>, fields: &[(&'static str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        map.append("host", "example.amazonaws.com".parse().unwrap());
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        Case { path: "/", query: query.map(str::to_owned), fields: map, now_ms: NOW }
    }

    fn header() -> Self {
        Case::new(None, &[("x-amz-date", "20150830T123600Z"), ("authorization", GOOD)])
    }

    fn header_verified() -> Verified {
        Case::header().ask(&signer(vec![secret("AKIDEXAMPLE")])).unwrap()
    }

    fn asked(&self) -> Asked<'_, HeaderMap> {
        Asked {
            method: "GET",
            host: "example.amazonaws.com",
            path: self.path,
            query: self.query.as_deref(),
            fields: &self.fields,
            tls: true,
            viewer: "203.0.113.7".parse().unwrap(),
            now_ms: self.now_ms,
        }
    }

    fn ask(&self, signer: &Signer) -> Result<Verified, Denied> {
        match Verifier::new(signer).verify(&self.asked(), false)? {
            Outcome::Verified(verified) => Ok(verified),
            Outcome::NeedsBody(_) => panic!("there is no body"),
        }
    }
}

fn reason(result: Result<Verified, Denied>) -> Option<Reason> {
    result.err().map(|denied| denied.reason)
}

#[test]
fn who_signed_is_told() {
    let signer = signer(vec![secret("AKIDEXAMPLE"), secret("AKIDOTHER")]);
    for case in [Case::header(), Case::new(Some(PRESIGNED), &[])] {
        let verified = case.ask(&signer).unwrap();
        assert_eq!(verified.access_key_id(), "AKIDEXAMPLE");
        assert_eq!(verified.principal(), "arn:aws:iam::123456789012:user/AKIDEXAMPLE");
        assert_eq!((verified.region.as_str(), verified.service.as_str()), ("us-east-1", "service"));
        assert_eq!(verified.signed_ms, NOW);
        assert!(matches!(verified.payload, Payload::Hash(EMPTY)));
    }
}

#[test]
fn a_day_key_serves_its_day_only() {
    let day = |date: &str, region: &str| DayKey {
        date: date.to_owned(),
        region: region.to_owned(),
        service: "service".to_owned(),
        key: Secret::new(derive_day_key(SECRET, "20150830", "us-east-1", "service")),
    };
    for (days, good) in [
        (vec![day("20150829", "us-east-1"), day("20150830", "us-east-1")], true),
        (vec![day("20150829", "us-east-1")], false),
        (vec![day("20150830", "us-east-2")], false),
        (vec![], false),
    ] {
        let signer = signer(vec![key("AKIDEXAMPLE", KeyMaterial::Days(days))]);
        assert_eq!(reason(Case::header().ask(&signer)), (!good).then_some(Reason::SignatureInvalid));
    }
}

#[test]
fn parts_that_cannot_be_read() {
    let signer = signer(vec![secret("AKIDEXAMPLE")]);
    let (complete, incomplete, missing) =
        (Reason::SignatureInvalid, Reason::SignatureIncomplete, Reason::SignatureMissing);
    let long = format!("{GOOD}{}", " ".repeat(MAX_AUTHORIZATION));
    let many: String = (10..10 + MAX_SIGNED_HEADERS).map(|n| format!("a{n};")).collect();
    let many = GOOD.replace("SignedHeaders=", &format!("SignedHeaders={many}"));
    for (authorization, expected) in [
        ("", missing),
        ("Bearer x", missing),
        ("AWS AKIDEXAMPLE:x", missing),
        ("AWS4-HMAC-SHA256", incomplete),
        ("AWS4-HMAC-SHA512 Credential=a", incomplete),
        (&GOOD.replace("Credential=", "Credential"), incomplete),
        (&GOOD.replace(", Signature", ", Extra=1, Signature"), incomplete),
        (&GOOD.replace(", Signature", ", SignedHeaders=host, Signature"), incomplete),
        (&GOOD.replace("/aws4_request", "/aws4_request/x"), incomplete),
        (&GOOD.replace("/us-east-1", ""), incomplete),
        (&GOOD.replace("5fa00", "5FA00"), incomplete),
        (&GOOD.replace("5fa00", "5fa0"), incomplete),
        (&GOOD.replace("host;", "Host;"), incomplete),
        (&GOOD.replace("host;", ";host;"), incomplete),
        (&GOOD.replace("host;x-amz-date", "x-amz-date;host"), complete),
        (&GOOD.replace("host;", "host;host;"), complete),
        (&GOOD.replace("host;", ""), complete),
        (&GOOD.replace(";x-amz-date", ""), complete),
        (&GOOD.replace("AKIDEXAMPLE", "AKIDNOBODY"), complete),
        (&GOOD.replace("us-east-1", "us-east-2"), complete),
        (&GOOD.replace("/service/", "/other/"), complete),
        (&GOOD.replace("/20150830", "/20150831"), complete),
        (&GOOD.replace("aws4_request", "aws5_request"), complete),
        (&GOOD.replace("5fa00", "6fa00"), complete),
        (&many, complete),
        (&long, incomplete),
    ] {
        let case = Case::new(None, &[("x-amz-date", "20150830T123600Z"), ("authorization", authorization)]);
        assert_eq!(reason(case.ask(&signer)), Some(expected), "{authorization}");
    }
    for (from, to, expected) in [
        ("X-Amz-Expires=3600", "X-Amz-Expires=x", incomplete),
        ("X-Amz-Expires=3600", "X-Amz-Expires=0", complete),
        ("X-Amz-Expires=3600", "X-Amz-Expires=604801", complete),
        ("X-Amz-Expires=3600", "X-Amz-Expires=3601", complete),
        ("&X-Amz-Expires=3600", "", incomplete),
        ("X-Amz-Date=2015", "X-Amz-Date=x", incomplete),
        ("&X-Amz-Signature", "&X-Amz-Signature=0&X-Amz-Signature", incomplete),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=hos", complete),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4", incomplete),
    ] {
        let query = PRESIGNED.replace(from, to);
        assert_eq!(reason(Case::new(Some(&query), &[]).ask(&signer)), Some(expected), "{to}");
    }
    let both = Case::new(Some(PRESIGNED), &[("x-amz-date", "20150830T123600Z"), ("authorization", GOOD)]);
    assert_eq!(reason(both.ask(&signer)), Some(complete));
    let twice =
        Case::new(None, &[("x-amz-date", "20150830T123600Z"), ("authorization", GOOD), ("authorization", "Bearer x")]);
    assert_eq!(reason(twice.ask(&signer)), Some(complete));
}

#[test]
fn clocks_may_be_apart_so_far() {
    let signer = signer(vec![secret("AKIDEXAMPLE")]);
    let hour = 3_600_000;
    for (presigned, now_ms, good) in [
        (false, NOW - 900_000, true),
        (false, NOW - 900_001, false),
        (false, NOW + 900_000, true),
        (false, NOW + 900_001, false),
        (true, NOW - 900_000, true),
        (true, NOW - 901_000, false),
        (true, NOW + hour, true),
        (true, NOW + hour + 1, false),
    ] {
        let case = if presigned { Case::new(Some(PRESIGNED), &[]) } else { Case::header() };
        let case = Case { now_ms, ..case };
        assert_eq!(case.ask(&signer).is_ok(), good, "{presigned} {now_ms}");
    }
}

#[test]
fn a_session_token_is_the_keys_own() {
    let own = |token: Option<&str>| {
        let session_token = token.map(|token| Secret::new(token.to_owned()));
        signer(vec![AccessKey { session_token, ..secret("AKIDEXAMPLE") }])
    };
    for (keys, sent, good) in [
        (Some("t"), Some("t"), true),
        (Some("t"), Some("u"), false),
        (Some("t"), Some("tt"), false),
        (Some("t"), None, false),
        (None, Some("t"), false),
    ] {
        // Added after signing: the header is not signed, and the parameter is not in the canonical request.
        let mut fields = vec![("x-amz-date", "20150830T123600Z"), ("authorization", GOOD)];
        fields.extend(sent.map(|token| ("x-amz-security-token", token)));
        assert_eq!(Case::new(None, &fields).ask(&own(keys)).is_ok(), good, "{keys:?} {sent:?}");
        let query = sent.map_or(PRESIGNED.to_owned(), |token| format!("{PRESIGNED}&X-Amz-Security-Token={token}"));
        assert_eq!(Case::new(Some(&query), &[]).ask(&own(keys)).is_ok(), good, "{keys:?} {sent:?}");
    }
}

#[test]
fn policies_are_asked_about_every_reading_of_a_path() {
    let policy = |text: &str| {
        let policy = Some(Arc::new(Policy::parse(text).unwrap()));
        signer(vec![AccessKey { policy, ..secret("AKIDEXAMPLE") }])
    };
    let pets = policy(
        r#"{"Statement":{"Effect":"Allow","Action":"execute-api:Invoke",
                          "Resource":["arn:aws:execute-api:us-east-1:1:api/prod/GET/pets/*","*/GET/","*/GET/my%20files/a"]}}"#,
    );
    let no_admin = policy(
        r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
                              {"Effect":"Deny","Action":"*","Resource":"*/GET/admin/*"}]}"#,
    );
    let verified = |signer: &Signer| Case::header().ask(signer).unwrap();
    for (signer, path, good) in [
        (&pets, "/", true),
        (&pets, "/pets/7", true),
        (&pets, "/pets/$method", true),
        (&pets, "/my%20files/a", true),
        (&pets, "/admin/7", false),
        (&pets, "/pets/../admin/7", false),
        (&pets, "/pets/%2e%2e/admin/7", false),
        (&pets, "/pets/..%2fadmin", false),
        (&no_admin, "/pets", true),
        (&no_admin, "/admin/x", false),
        (&no_admin, "//admin/x", false),
        (&no_admin, "/%61dmin/x", false),
        (&no_admin, "/admin;%2fpets/x", false),
        (&no_admin, "/a/../admin/x", false),
    ] {
        let case = Case { path, ..Case::header() };
        let result = Verifier::new(signer).authorize(&verified(signer), &case.asked(), "");
        assert_eq!(result.is_ok(), good, "{path}");
        assert!(good || result.unwrap_err().reason == Reason::PolicyDenies);
    }
    let free = signer(vec![secret("AKIDEXAMPLE")]);
    assert!(Verifier::new(&free).authorize(&verified(&free), &Case::header().asked(), "").is_ok());
}

#[test]
fn signing_keys_are_kept_within_bounds() {
    let keys = key::Keys::new(Arc::new(vec![secret("AKIDEXAMPLE")]));
    for n in 0..2 * MAX_DAY_KEYS {
        let region = format!("r-{n}");
        let scope = key::Scope { date: "20150830", region: &region, service: "s" };
        let found = keys.symmetric(Some(0), &scope);
        assert!(found.own && found.derived);
        keys.keep(0, &scope, &found.prover);
    }
    assert!(keys.kept() <= MAX_DAY_KEYS, "{}", keys.kept());
}

/// Whether a key exists, and whether it was used today, does not show in what a "no" costs.
#[test]
fn every_refusal_derives_one_signing_key() {
    for regions in [Vec::new(), vec!["us-east-1".to_owned()]] {
        let verifier = Verifier::new(&Signer { regions, ..signer(vec![secret("AKIDEXAMPLE")]) });
        let derived = |authorization: &str| {
            let case = Case::new(None, &[("x-amz-date", "20150830T123600Z"), ("authorization", authorization)]);
            let before = key::DERIVED.get();
            let good = verifier.verify(&case.asked(), false).is_ok();
            (good, key::DERIVED.get() - before)
        };
        let wrong = GOOD.replace("Signature=5fa0", "Signature=5fa1");
        let unknown = wrong.replace("AKIDEXAMPLE", "AKIDUNKNOWN");
        assert_eq!([derived(&wrong), derived(&wrong), derived(&unknown)], [(false, 1); 3], "before it was ever used");
        assert_eq!([derived(GOOD), derived(GOOD)], [(true, 1), (true, 0)]);
        assert_eq!([derived(&wrong), derived(&unknown)], [(false, 1); 2], "and after");
    }
}
