//! Rules that nobody can meet, or that protect less than they seem to.

use super::*;

#[test]
fn names_within_resources_are_known_ones() {
    let authorizer = |resource: &str| {
        format!("[[function]]\nname='f'\nfile='f.js'\n[[authorizer]]\nname='a'\nfunction='f'\nresource='{resource}'\n")
    };
    let signer = |resource: &str| {
        format!("[[sigv4]]\nname='s'\nresource='{resource}'\nkey=[{{ id='AKIA', secret='file:secret' }}]\n")
    };
    good(&authorizer("x/$stage/$method/$path"));
    good(&signer("x/$region/$stage/$method/$path"));
    for text in [authorizer("x/$stge/$path"), authorizer("$region"), signer("x/$regin/$path"), signer("costs $5")] {
        let found = bad(&text);
        assert!(found.contains("stands for nothing here: $") && found.contains("$stage, $method, $path"), "{found}");
    }
}

#[test]
fn keys_over_http_are_warned_of() {
    for (issuer, jwks, warned) in [
        ("https://issuer.example", "", false),
        ("http://issuer.example", "", true),
        ("https://issuer.example", "jwks='http://192.0.2.9/jwks.json'", true),
        ("http://issuer.example", "jwks='file:jwks.json'", false),
        ("http://127.0.0.1:9/p", "", false),
        ("http://[::1]:9/p", "", false),
        ("http://localhost/p", "", false),
    ] {
        let text = format!("[[jwt]]\nname='i'\nissuer='{issuer}'\naudience=['web']\n{jwks}\n");
        let warnings = good(&text).warnings;
        let found = warnings.iter().any(|warning| warning.contains("unprotected: who is on the way"));
        assert_eq!(found, warned, "{issuer} {jwks}: {warnings:?}");
    }
}

/// An authority that no listener trusts lets nobody in.
#[test]
fn authorities_that_nobody_trusts_are_warned_of() {
    let dir = tempfile::TempDir::new().unwrap();
    for name in ["server", "known", "strange"] {
        let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
        std::fs::write(dir.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    for (from, warned) in [("known.pem", false), ("strange.pem", true)] {
        let text = format!(
            "{ORIGIN}[[listener]]\naddress='127.0.0.1:0'\ntls={{ certificates=[{{ cert='server.pem', key='server.key' }}], \
             client_auth='required', client_ca='known.pem' }}\n[[behavior]]\nmatch='*'\norigin='o'\n\
             access={{ certificate_from='{from}' }}\n"
        );
        let warnings = parse(&text, "t.toml", dir.path()).unwrap().warnings;
        let found = warnings.iter().any(|warning| warning.contains("that no listener's `client_ca` has"));
        assert_eq!(found, warned, "{from}: {warnings:?}");
    }
    let text = format!("{ORIGIN}[[behavior]]\nmatch='*'\norigin='o'\naccess={{ certificate_from='server.key' }}\n");
    let found = parse(&text, "t.toml", dir.path()).unwrap_err().to_string();
    assert!(found.contains("server.key holds no certificate"), "{found}");
}
