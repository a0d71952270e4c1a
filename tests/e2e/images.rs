//! Images: functions that lie in a registry.
//!
//! In: a real registry, and scripted ones that want tokens or lead elsewhere. Out: what is served, refused and asked for. Never: a registry
//! outside of this machine.

use crate::harness::pop::run;
use crate::harness::registry::{Registry, WASM, digest};
use crate::harness::wat::Flat;
use crate::harness::{Origin, Pop};

fn component(body: &str) -> Vec<u8> {
    wat::parse_str(Flat::new().respond(200, &[], body).wat()).unwrap()
}

fn site(image: &str) -> String {
    format!(
        "[[origin]]\nname = \"o\"\ngenerated = {{ body = \"origin\" }}\n[[behavior]]\nmatch = \"*\"\norigin = \"o\"\n\
         [behavior.hooks]\nviewer_request = \"f\"\n[[function]]\nname = \"f\"\nfile = \"{image}\"\n"
    )
}

/// What `rimward check` says, and whether it is content.
fn check(text: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let (status, out, err) = run(&["check", path.to_str().unwrap()]);
    (status.success(), out + &err)
}

#[test]
fn a_function_is_pulled_once_and_needs_no_registry_afterwards() {
    let registry = Registry::start();
    let one = registry.push("edge/hello", &[("text/markdown", b"# hello"), (WASM, &component("one"))]);
    let two = registry.push("edge/hello", &[("application/vnd.wasm.content.layer.v1+wasm", &component("two"))]);
    let mut pop = Pop::start(site(&one));
    assert_eq!(pop.get("/").text(), "one");
    assert!(pop.stderr().contains(&format!("pulled {one}")), "{}", pop.stderr());
    assert_eq!(pop.reload(&site(&two.replace("@", ":v2@"))).status, 200);
    assert_eq!(pop.get("/").text(), "two");
    let address = registry.address;
    registry.stop();
    pop.crash_and_restart();
    assert_eq!(pop.get("/").text(), "two", "it is on disk");
    assert_eq!(pop.reload(&site(&one)).status, 200);
    assert_eq!(pop.get("/").text(), "one", "and so is the one before");
    // What cannot be pulled changes nothing.
    let other = format!("oci://{address}/edge/hello@{}", digest(b"other"));
    let refused = pop.reload(&site(&other));
    assert_eq!(refused.status / 100, 4, "{}", refused.text());
    assert!(refused.text().contains("cannot connect"), "{}", refused.text());
    assert_eq!(pop.get("/").text(), "one");
    // A copy that is spoiled is none.
    let name = one.split_once("sha256:").unwrap().1;
    std::fs::write(pop.dir().join(format!("state/functions/oci/{name}.wasm")), component("evil")).unwrap();
    let refused = pop.reload(&site(&one));
    assert!(refused.text().contains("cannot pull"), "{}", refused.text());
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let registry = Registry::start();
    let wasm = component("one");
    let push = |layers: &[(&str, &[u8])]| registry.push("f", layers);
    let good = push(&[(WASM, &wasm)]);
    let (done, said) = check(&site(&good));
    assert!(done, "{said}");
    let of = |digest: &str| format!("oci://{}/f@{digest}", registry.address);
    let change = |digest: &str, change: fn(&mut Vec<u8>)| {
        let file = registry.file(digest);
        let mut bytes = std::fs::read(&file).unwrap();
        change(&mut bytes);
        std::fs::write(file, bytes).unwrap();
    };
    let (cut, altered, renamed) = (component("cut"), component("altered"), component("renamed"));
    let [cut_image, altered_image, renamed_image] = [&cut, &altered, &renamed].map(|bytes| push(&[(WASM, bytes)]));
    change(&digest(&cut), |bytes| bytes.truncate(bytes.len() / 2));
    change(&digest(&altered), |bytes| bytes[20] ^= 1);
    change(renamed_image.split_once('@').unwrap().1, |bytes| bytes.push(b' '));
    let two = push(&[(WASM, &wasm), (WASM, &cut)]);
    for (image, says) in [
        (good.split_once('@').unwrap().0.to_owned() + ":latest", "names no digest"),
        (of("sha256:abc"), "is no image"),
        (of(&digest(b"nobody pushed this")), "the registry does not have it"),
        (good.replace("/f@", "/nobody/pushed/this@"), "the registry does not have it"),
        (cut_image, "the component is not what the manifest says"),
        (altered_image, "the component is not what the manifest says"),
        (renamed_image, "cannot pull"),
        (two, "it has 2 layers of WebAssembly"),
        (push(&[("text/plain", b"read me")]), "its layers are text/plain"),
    ] {
        let (done, said) = check(&site(&image));
        assert!(!done && said.contains(says), "{image}: {said}");
        assert!(said.contains("edge.toml:11:8") && said.contains("^^^"), "the place is shown: {said}");
    }
}

/// An image that a scripted registry gives away: its manifest, its component.
fn scripted() -> (String, Vec<u8>) {
    let wasm = component("scripted");
    let layer = serde_json::json!({ "mediaType": WASM, "digest": digest(&wasm), "size": wasm.len() });
    (serde_json::json!({ "schemaVersion": 2, "layers": [layer] }).to_string(), wasm)
}

const LOGIN: &str = "[[registry]]\nhost = \"HOST\"\nusername = \"ada\"\npassword = \"file:password\"\n";

/// `rimward check` of an image in a registry at `address`, with a login.
fn check_with_login(address: std::net::SocketAddr, password: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), password).unwrap();
    let image = format!("oci://{address}/a/b@{}", digest(scripted().0.as_bytes()));
    let path = dir.path().join("edge.toml");
    let login = LOGIN.replace("HOST", &address.to_string());
    std::fs::write(&path, if password.is_empty() { site(&image) } else { site(&image) + &login }).unwrap();
    let (status, out, err) = run(&["check", path.to_str().unwrap()]);
    (status.success(), out + &err)
}

#[test]
fn tokens_passwords_and_other_places() {
    let password = format!("{:x}", rand::random::<u64>());
    let elsewhere = Origin::start(|x| {
        let (status, body) =
            if x.field("authorization").is_some() { ("400 Bad Request", vec![]) } else { ("200 OK", scripted().1) };
        x.reply(status, "", body);
    });
    let blobs = elsewhere.url();
    // "ada:password" as base64.
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("ada:{password}"))
    };
    let anonymous = Origin::start(move |x| {
        let host = x.field("host").unwrap_or_default().to_owned();
        let target = x.request.target.clone();
        if target == "/token?service=test&scope=repository:a/b:pull" {
            return x.reply("200 OK", "", "{\"access_token\":\"T\"}");
        }
        if x.field("authorization") != Some("Bearer T") {
            let wants = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\"\r\n");
            return x.reply("401 Unauthorized", &wants, "");
        }
        match target.starts_with("/v2/a/b/manifests/sha256:") {
            true => x.reply("200 OK", "", scripted().0),
            false => x.reply("307 Temporary Redirect", &format!("Location: {blobs}{target}\r\n"), ""),
        }
    });
    let (done, said) = check_with_login(anonymous.address, "");
    assert!(done, "{said}");
    assert_eq!(elsewhere.count(), 1);

    let basic =
        Origin::start(move |x| match x.field("authorization").is_some_and(|sent| sent == format!("Basic {encoded}")) {
            true if x.request.target.contains("/manifests/") => x.reply("200 OK", "", scripted().0),
            true => x.reply("200 OK", "", scripted().1),
            false => x.reply("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n", ""),
        });
    let (done, said) = check_with_login(basic.address, &password);
    assert!(done, "{said}");
    let (done, said) = check_with_login(basic.address, "");
    assert!(!done && said.contains("write [[registry]] with host ="), "{said}");
    let (done, said) = check_with_login(basic.address, "wrong");
    assert!(!done && said.contains("are not taken") && !said.contains("wrong"), "{said}");

    let lost = Origin::start(|x| x.reply("302 Found", "Location: /again\r\n", ""));
    let (done, said) = check_with_login(lost.address, "");
    assert!(!done && said.contains("from place to place"), "{said}");
    let plain = Origin::start(|x| x.reply("302 Found", "Location: http://192.0.2.1/x\r\n", ""));
    let (done, said) = check_with_login(plain.address, "");
    assert!(!done && said.contains("plain HTTP"), "{said}");
    let large = Origin::start(|x| x.reply("200 OK", "", vec![b' '; (4 << 20) + 1]));
    let (done, said) = check_with_login(large.address, "");
    assert!(!done && said.contains("more than 4194304 bytes"), "{said}");
}
