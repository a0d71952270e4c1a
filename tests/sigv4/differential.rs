//! Differential: AWS's own Rust signer over random requests. Each verifies as signed, and not once a byte is another.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation,
    SigningParams, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::{v4, v4a};
use aws_smithy_runtime_api::client::identity::Identity;
use rimward::access::sigv4::Verifier;

use crate::wire::{self, Dice, ID, NOW, SECRET, Sent};

const REQUESTS: usize = 800;
const HOST: &str = "api.example.com";

/// How one request is signed.
#[derive(Debug, Clone, Copy)]
struct Way {
    s3: bool,
    presigned: bool,
    asymmetric: bool,
    token: Option<&'static str>,
    token_after: bool,
}

fn text(dice: &mut Dice, alphabet: &[&str], most: usize) -> String {
    (0..dice.roll(most + 1)).map(|_| alphabet[dice.roll(alphabet.len())]).collect()
}

fn request(dice: &mut Dice, way: Way) -> Sent {
    let plain = ["a", "B", "7", "-", "_", ".", "~", "%20", "%2F", "%C3%A9", "%25", "%2B"];
    let wide =
        ["a", "B", "7", "-", "_", ".", "~", "%20", "%2f", "%2F", "@", ":", "=", "!", "$", "*", ",", "(", "%c3%a9"];
    let inside = ["a", "B", "7", "-", "_", ".", "~", "%20", "%2F", "/", "?", "@", ":", "=", "!", "*", "%C3%A9", "%26"];
    let mut target = String::new();
    for _ in 0..=dice.roll(4) {
        target.push('/');
        target.push_str(&text(dice, if way.s3 { &plain } else { &wide }, 8));
    }
    let pairs: Vec<String> = (0..dice.roll(5))
        .map(|_| {
            let name = format!("p{}", text(dice, &plain, 3));
            if dice.roll(5) == 0 { name } else { format!("{name}={}", text(dice, &inside, 8)) }
        })
        .collect();
    if !pairs.is_empty() {
        target = format!("{target}?{}", pairs.join("&"));
    }
    let mut fields = vec![("Host".to_owned(), HOST.to_owned())];
    for n in 0..dice.roll(4) {
        let value = text(dice, &["a", "B", ",", ";", "  ", " ", "\"", "=", "é"], 10);
        fields.push((format!("x-h{n}"), value.trim().to_owned()));
    }
    if dice.roll(3) == 0 {
        fields.push(("User-Agent".to_owned(), "not signed".to_owned()));
    }
    let method = ["GET", "POST", "PUT", "DELETE"][dice.roll(4)].to_owned();
    let body = text(dice, &["x", "\n", "{}", "é"], if method == "GET" { 0 } else { 40 }).into_bytes();
    Sent { method, target, fields, body }
}

fn signed(sent: &Sent, way: Way) -> Sent {
    let identity: Identity = Credentials::new(ID, SECRET, way.token.map(str::to_owned), None, "test").into();
    let time = UNIX_EPOCH + Duration::from_millis(NOW);
    let mut settings = SigningSettings::default();
    if way.s3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if way.presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(600));
    }
    if way.token_after {
        settings.session_token_mode = SessionTokenMode::Exclude;
    }
    let params: SigningParams<'_> = if way.asymmetric {
        let params = v4a::SigningParams::builder().identity(&identity).region_set("eu-*,us-east-1").name("service");
        params.time(time).settings(settings).build().unwrap().into()
    } else {
        let params = v4::SigningParams::builder().identity(&identity).region("us-east-1").name("service");
        params.time(time).settings(settings).build().unwrap().into()
    };
    let fields = sent.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = SignableBody::Bytes(&sent.body);
    let url = format!("https://{HOST}{}", sent.target);
    let request = SignableRequest::new(&sent.method, url, fields, body).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut out = sent.clone();
    for (name, value) in instructions.headers() {
        out.fields.push((name.to_owned(), value.to_owned()));
    }
    for (name, value) in instructions.params() {
        let joint = if out.target.contains('?') { '&' } else { '?' };
        let value: String = value.bytes().map(escape).collect();
        out.target = format!("{}{joint}{name}={value}", out.target);
    }
    out
}

fn escape(byte: u8) -> String {
    match byte {
        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => (b as char).to_string(),
        b => format!("%{b:02X}"),
    }
}

/// Another byte in what is signed; `None` where that would be another way to write the same.
fn altered(sent: &Sent, dice: &mut Dice) -> Option<Sent> {
    let mut out = sent.clone();
    let signed = |name: &str| {
        let list = sent.field("authorization").unwrap_or(&sent.target).replace("%3B", ";");
        let list = list.split("SignedHeaders=").nth(1)?.split([',', '&']).next()?.to_owned();
        Some(list.split(';').any(|own| own == name.to_lowercase()))
    };
    match dice.roll(4) {
        0 => out.method.push('X'),
        1 => out.target = out.target.replacen("%2F", "%2f", 1),
        2 => {
            let at = dice.roll(out.fields.len());
            let (name, value) = &mut out.fields[at];
            if name == "authorization" || !signed(name)? {
                return None;
            }
            value.push('x');
        }
        _ => out.body.push(b'x'),
    }
    let (path, other) = (sent.target.split('?').next()?, out.target.split('?').next()?);
    // A query is the same when an escape in it is written in lower case.
    (path != other || out.target == sent.target).then_some(out).filter(|out| out != sent)
}

#[test]
fn what_aws_signs_verifies_and_nothing_else() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut right, mut refused, mut wrong) = (0, 0, Vec::new());
    for n in 0..REQUESTS {
        let token = (n % 3 == 0).then_some("tok/en+=");
        let way = Way {
            s3: n % 4 == 0,
            presigned: n % 2 == 1,
            asymmetric: n % 8 >= 6,
            token,
            token_after: token.is_some() && n % 6 == 3,
        };
        let sent = signed(&request(&mut dice, way), way);
        let verifier = Verifier::new(&wire::signer(!way.s3, wire::with_secret(token)));
        match sent.verify(&verifier, NOW) {
            Ok(_) => right += 1,
            Err(denied) => wrong.push(format!("{way:?}: {denied}\n    {sent:?}")),
        }
        if let Some(other) = altered(&sent, &mut dice) {
            match other.verify(&verifier, NOW) {
                Ok(_) => wrong.push(format!("altered: {way:?}\n    {sent:?}\n    {other:?}")),
                Err(_) => refused += 1,
            }
        }
    }
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{right} of {REQUESTS}:\n{}", wrong.join("\n"));
    assert!(right == REQUESTS && refused > REQUESTS / 3, "{right} {refused}");
}
