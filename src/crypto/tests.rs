//! Vectors of Wycheproof. Those of the RFCs, and of another implementation, are beside `hooks::host::crypto`, which goes through
//! the same code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::*;

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// An acceptable one may go either way: Wycheproof marks so what libraries differ in.
fn agree(name: &str, got: bool, want: TestResult) {
    match want {
        TestResult::Valid => assert!(got, "{name} is good"),
        TestResult::Invalid => assert!(!got, "{name} is bad"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    for (set, algorithm) in [
        (TestName::Rsa2048Sha256, Algorithm::Rs256),
        (TestName::Rsa2048Sha384, Algorithm::Rs384),
        (TestName::Rsa2048Sha512, Algorithm::Rs512),
        (TestName::Rsa3072Sha256, Algorithm::Rs256),
        (TestName::Rsa4096Sha512, Algorithm::Rs512),
    ] {
        let mut count = 0;
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            let key = Prepared::new(algorithm, Form::Fixed, &Key::pem(&pem(&group.der)).unwrap()).unwrap();
            for test in &group.tests {
                agree(&format!("{set:?} {}", test.tc_id), key.verify(&test.msg, &test.sig), test.result);
                count += 1;
            }
        }
        assert!(count > 100, "{set:?}");
    }
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName;
    for group in rsa_pss_verify::TestSet::load(TestName::RsaPss2048Sha256Mgf1SaltLen32).unwrap().test_groups {
        let key = Key::pem(&pem(&group.der)).unwrap();
        let key = Prepared::new(Algorithm::Ps256, Form::Fixed, &key).unwrap();
        for test in &group.tests {
            agree(&format!("{}", test.tc_id), key.verify(&test.msg, &test.sig), test.result);
        }
    }
}

#[test]
fn ecdsa_in_both_forms() {
    use ecdsa::TestName;
    for (set, algorithm, form) in [
        (TestName::EcdsaSecp256r1Sha256, Algorithm::Es256, Form::Der),
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, Form::Fixed),
        (TestName::EcdsaSecp384r1Sha384, Algorithm::Es384, Form::Der),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, Form::Fixed),
    ] {
        let mut count = 0;
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let key = Key::pem(&pem(&group.der)).unwrap();
            let either = Prepared::new(algorithm, Form::Either, &key).unwrap();
            let one = Prepared::new(algorithm, form, &key).unwrap();
            for test in &group.tests {
                let name = format!("{set:?} {}", test.tc_id);
                agree(&name, one.verify(&test.msg, &test.sig), test.result);
                agree(&name, either.verify(&test.msg, &test.sig), test.result);
                count += 1;
            }
        }
        assert!(count > 100, "{set:?}");
    }
}

#[test]
fn ed25519() {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = Key::pem(&pem(&group.der)).unwrap();
        let key = Prepared::new(Algorithm::EdDsa, Form::Fixed, &key).unwrap();
        for test in &group.tests {
            agree(&format!("{}", test.tc_id), key.verify(&test.msg, &test.sig), test.result);
        }
    }
}

#[test]
fn a_key_is_for_its_own_algorithms() {
    let rsa = Key::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] };
    let p256 = Key::P256(vec![4; 65]);
    for (algorithm, key) in [
        (Algorithm::Es256, &rsa),
        (Algorithm::EdDsa, &rsa),
        (Algorithm::EcdsaSha1, &rsa),
        (Algorithm::Rs256, &p256),
        (Algorithm::RsaSha1, &p256),
        (Algorithm::Es384, &p256),
        (Algorithm::Es256, &p256),
        (Algorithm::EdDsa, &Key::Ed25519(vec![0; 31])),
    ] {
        assert!(Prepared::new(algorithm, Form::Either, key).is_err(), "{algorithm:?} {}", key.kind());
    }
}
