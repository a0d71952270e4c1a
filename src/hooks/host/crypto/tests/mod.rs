//! Vectors of the RFCs, and of another implementation (pyca/cryptography made vectors.json).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::*;

/// Keys by kind and form, and one signature an algorithm over `data`.
#[derive(Deserialize)]
struct Vectors {
    data: String,
    keys: BTreeMap<String, BTreeMap<String, String>>,
    signatures: Vec<Signature>,
    refused: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Signature {
    algorithm: String,
    key: String,
    signature: String,
}

const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA-SHA1", "ES256", "ES384", "EdDSA"];

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn b64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn digests() {
    for (algorithm, data, want) in [
        ("md5", "abc", "900150983cd24fb0d6963f7d28e17f72"), // RFC 1321 A.5
        ("sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"), // RFC 3174 §7.3
        ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), // FIPS 180-4
        ("sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            "sha384",
            "abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            "sha512",
            "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
             454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        assert_eq!(digest(algorithm, data.as_bytes()), Ok(hex(want)), "{algorithm} {data}");
    }
}

#[test]
fn message_authentication() {
    let long = [0xaa; 131];
    for (algorithm, key, data, want) in [
        ("md5", &[0x0b; 16][..], &b"Hi There"[..], "9294727a3638bb1c13f48ef8158bfc9d"), // RFC 2202 §2
        (
            "md5",
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
        ),
        ("sha1", &[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"), // RFC 2202 §3
        // RFC 4231 §4.3
        (
            "sha256",
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "sha384",
            b"Jefe",
            b"what do ya want for nothing?",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            "sha512",
            b"Jefe",
            b"what do ya want for nothing?",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
             caeab1a34d4a6b4b636e070a38bce737",
        ),
        // RFC 4231 §4.7
        (
            "sha256",
            &long,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        assert_eq!(hmac(algorithm, key, data), Ok(hex(want)), "{algorithm}");
    }
}

#[test]
fn what_is_unknown_or_too_large_is_refused() {
    let large = vec![0; DATA_MAX + 1];
    let key = " ".repeat(crate::crypto::KEY_MAX + 1);
    for (outcome, want) in [
        (digest("sha224", b"").map(drop), "invalid"),
        (digest("SHA256", b"").map(drop), "invalid"),
        (hmac("sha3", b"", b"").map(drop), "invalid"),
        (digest("md5", &large).map(drop), "too large"),
        (hmac("md5", b"", &large).map(drop), "too large"),
        (hmac("sha256", &vec![0; SECRET_MAX + 1], b"").map(drop), "too large"),
        (verify("RS256", "", &large, b"").map(drop), "too large"),
        (verify("RS256", &key, b"", b"").map(drop), "too large"),
        (random(RANDOM_MAX + 1).map(drop), "too large"),
    ] {
        assert!(outcome.unwrap_err().to_string().starts_with(want));
    }
    assert!(digest("sha512", &large[..DATA_MAX]).is_ok());
}

#[test]
fn random_bytes_and_equality() {
    assert_eq!(random(0), Ok(Vec::new()));
    assert_ne!(random(32).unwrap(), random(32).unwrap());
    assert!(equal(b"", b"") && equal(b"ab", b"ab"));
    assert!(!equal(b"ab", b"abc") && !equal(b"ab", b"aB") && !equal(b"", b"a"));
}

#[test]
fn signatures_of_the_rfcs() {
    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const FRODO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aG\
                         Ugcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1\
                         pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    const BILBO: &str = r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","e":"AQAB","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"}"#;
    for (name, algorithm, key, data, signature) in [
        (
            "RFC 7515 A.2",
            "RS256",
            r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
            format!("eyJhbGciOiJSUzI1NiJ9.{JOE}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "RFC 7515 A.3",
            "ES256",
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            format!("eyJhbGciOiJFUzI1NiJ9.{JOE}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "RFC 7520 4.1",
            "RS256",
            BILBO,
            format!("eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{FRODO}"),
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        (
            "RFC 7520 4.2",
            "PS384",
            BILBO,
            format!("eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{FRODO}"),
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            "RFC 8037 A.4",
            "EdDSA",
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let (data, signature) = (data.as_bytes(), b64(signature));
        assert_eq!(verify(algorithm, key, data, &signature), Ok(true), "{name}");
        assert_eq!(verify(algorithm, key, &data[1..], &signature), Ok(false), "{name}: other data");
        let mut altered = signature.clone();
        altered[0] ^= 1;
        assert_eq!(verify(algorithm, key, data, &altered), Ok(false), "{name}: altered");
    }
    // RFC 8032 §7.1, test 3.
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU"}"#;
    let signature = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    assert_eq!(verify("EdDSA", key, &[0xaf, 0x82], &signature), Ok(true));
}

#[test]
fn every_algorithm_with_every_form_of_key() {
    let vectors = vectors();
    let data = vectors.data.as_bytes();
    for one in &vectors.signatures {
        let signature = b64(&one.signature);
        for (form, key) in &vectors.keys[&one.key] {
            let name = format!("{} {form}", one.algorithm);
            assert_eq!(verify(&one.algorithm, key, data, &signature), Ok(true), "{name}");
            assert_eq!(verify(&one.algorithm, key, b"other", &signature), Ok(false), "{name}");
            assert_eq!(verify(&one.algorithm, key, data, &signature[1..]), Ok(false), "{name}: short");
            assert_eq!(verify(&one.algorithm, key, data, b""), Ok(false), "{name}: none");
            for at in [0, signature.len() / 2, signature.len() - 1] {
                let mut altered = signature.clone();
                altered[at] ^= 0x20;
                assert_eq!(verify(&one.algorithm, key, data, &altered), Ok(false), "{name}: byte {at}");
            }
        }
    }
}

#[test]
fn a_signature_counts_only_for_its_own_algorithm() {
    let vectors = vectors();
    for one in &vectors.signatures {
        for other in ALGORITHMS.iter().filter(|other| **other != one.algorithm) {
            let got = verify(other, &vectors.keys[&one.key]["spki"], vectors.data.as_bytes(), &b64(&one.signature));
            assert_ne!(got, Ok(true), "{} as {other}", one.algorithm);
        }
    }
}

#[test]
fn a_key_of_another_kind_is_an_error() {
    let vectors = vectors();
    for algorithm in ALGORITHMS {
        let own = vectors.signatures.iter().find(|one| one.algorithm == algorithm).unwrap();
        for (kind, forms) in vectors.keys.iter().filter(|(kind, _)| **kind != own.key) {
            for (form, key) in forms {
                let got = verify(algorithm, key, b"", b"");
                assert!(matches!(got, Err(HostError::Invalid(_))), "{algorithm} {kind} {form}: {got:?}");
            }
        }
    }
    for name in ["HS256", "none", "rs256", ""] {
        assert!(matches!(verify(name, &vectors.keys["rsa"]["jwk"], b"", b""), Err(HostError::Invalid(_))), "{name}");
    }
}

#[test]
fn keys_that_are_refused() {
    let vectors = vectors();
    let rsa = &vectors.keys["rsa"]["jwk"];
    let with = |more: &str| rsa.replacen('{', &format!("{{{more},"), 1);
    assert!(verify("RS256", &with(r#""alg":"RS256","use":"sig","key_ops":["verify"]"#), b"", b"").is_ok());
    let broken = vectors.keys["rsa"]["spki"].replacen("MII", "MIA", 1);
    for (name, key, says) in [
        ("no key", "", "PEM"),
        ("text", "secret", "PEM"),
        ("not JSON", "{", "JWK"),
        ("no kty", "{}", "kty"),
        ("shared secret", r#"{"kty":"oct","k":"c2VjcmV0"}"#, "not RSA"),
        ("P-521", r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#, "not RSA"),
        ("short coordinate", r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "32 bytes"),
        ("no n", r#"{"kty":"RSA","e":"AQAB"}"#, "`n`"),
        ("bad base64", r#"{"kty":"RSA","n":"+/=","e":"AQAB"}"#, "base64url"),
        ("short Ed25519", r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#, "32 bytes"),
        ("other algorithm", &with(r#""alg":"PS256""#), "another algorithm"),
        ("for encryption", &with(r#""use":"enc""#), "`use`"),
        ("for signing", &with(r#""key_ops":["sign"]"#), "key_ops"),
        ("1024 bits", &vectors.refused["rsa1024"], "1024 bits"),
        ("P-521 PEM", &vectors.refused["p521"], "curve"),
        ("private key", &vectors.refused["private"], "PRIVATE KEY"),
        ("broken DER", &broken, "broken"),
    ] {
        match verify("RS256", key, b"", b"") {
            Err(HostError::Invalid(words)) => assert!(words.contains(says), "{name}: {words}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_point_off_the_curve_is_an_error() {
    let zeros = "A".repeat(43);
    let key = format!(r#"{{"kty":"EC","crv":"P-256","x":"{zeros}","y":"{zeros}"}}"#);
    assert!(matches!(verify("ES256", &key, b"", &[0; 64]), Err(HostError::Invalid(_))));
}
