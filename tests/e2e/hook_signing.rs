//! Hook signing: requests that functions send to another server than their origin's, with the signature that those to their origin have.
//!
//! In: CloudFront Functions with `originAccessControlConfig`. Out: whether another PoP, which checks signatures, takes them. Never: the
//! words of what is refused before anything is sent (tests beside the code hold them).

use crate::harness::{Origin, Pop, Setup, until};

const SECRET: &str = "not the secret of anybody";

/// Checks signatures for a bucket: /eu of one region, /us of another. Its check passes AWS's own vectors.
fn bucket(behind: &Origin) -> Pop {
    let mut setup = Setup::new("");
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.rest = behind.config("o");
    for (name, region) in [("eu", "eu-central-1"), ("us", "us-west-2")] {
        setup.rest.push_str(&format!(
            "[[sigv4]]\nname = \"{name}\"\nservice = \"s3\"\nregions = [\"{region}\"]\n[[sigv4.key]]\nid = \"AKIDEXAMPLE\"\n\
             secret = \"file:{{dir}}/secret\"\n[[behavior]]\nmatch = \"/{name}/*\"\norigin = \"o\"\naccess = {{ sigv4 = \"{name}\" }}\n\
             cache = false\n"
        ));
    }
    setup.start()
}

/// Every path has its own way; `elsewhere` is a port that the configuration does not name.
fn edge(bucket: &Pop, elsewhere: u16) -> Pop {
    let mut setup = Setup::new("");
    let port = bucket.http.port();
    let function = r"
import cf from 'cloudfront';
const there = (port) => ({ domainName: 'localhost', customOriginConfig: { port, protocol: 'http', sslProtocols: ['TLSv1.2'] } });
const signs = (signingBehavior, region) => ({
  originAccessControlConfig: { enabled: true, signingBehavior, signingProtocol: 'sigv4', originType: 's3', region },
});
const ways = {
  stays: () => {},
  kept: () => cf.updateRequestOrigin(there(PORT)),
  moved: () => cf.updateRequestOrigin({ ...there(PORT), ...signs('always', 'us-west-2') }),
  here: () => cf.updateRequestOrigin(signs('always', 'us-west-2')),
  off: () => cf.updateRequestOrigin({ originAccessControlConfig: { enabled: false } }),
  never: () => cf.updateRequestOrigin({ ...there(PORT), ...signs('never') }),
  theirs: () => cf.updateRequestOrigin(signs('no-override')),
  below: () => cf.updateRequestOrigin({ originPath: '/us', ...signs('always', 'us-west-2') }),
  chosen: () => cf.selectRequestOriginById('bucket', { originOverrides: signs('always', 'us-west-2') }),
  none: () => cf.updateRequestOrigin({ ...there(PORT), ...signs('always', 'us-west-2') }),
  strange: () => cf.updateRequestOrigin(there(ELSEWHERE)),
  port: () => cf.updateRequestOrigin({ customOriginConfig: { port: ELSEWHERE, protocol: 'http', sslProtocols: ['TLSv1.2'] } }),
  named: () => cf.updateRequestOrigin({ ...there(PORT), hostHeader: 'tenant.example' }),
  unsaid: () => ways[NTH ? 'kept' : 'off'](),
};
function handler(event) {
  const way = event.request.uri.split('/').pop();
  if (!NTH || way === 'unsaid') ways[way]();
  return event.request;
}
"
    .replace("PORT", &port.to_string())
    .replace("ELSEWHERE", &elsewhere.to_string());
    for (file, nth) in [("f.js", "0"), ("g.js", "1")] {
        std::fs::write(setup.dir().join(file), function.replace("NTH", nth)).unwrap();
    }
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.rest = format!(
        "[[origin]]\nname = \"bucket\"\nurl = \"http://127.0.0.1:{port}\"\nsign = {{ service = \"s3\", region = \"eu-central-1\", \
         credentials = {{ access_key = \"AKIDEXAMPLE\", secret_key = \"file:{{dir}}/secret\" }} }}\n\
         [[origin]]\nname = \"plain\"\nurl = \"http://localhost:{port}\"\n\
         [[function]]\nname = \"f\"\nfile = \"f.js\"\nflavor = \"cloudfront-2.0\"\n\
         [[function]]\nname = \"g\"\nfile = \"g.js\"\nflavor = \"cloudfront-2.0\"\n"
    );
    for (name, origin) in [("/us/plain/*", "plain"), ("*", "bucket")] {
        setup.rest.push_str(&format!(
            "[[behavior]]\nmatch = \"{name}\"\norigin = \"{origin}\"\ncache = false\nforward = {{ headers = [\"Authorization\"] }}\n\
             hooks = {{ viewer_request = [\"f\", \"g\"] }}\n"
        ));
    }
    setup.start()
}

#[test]
fn what_a_function_sends_elsewhere_is_signed_as_it_says() {
    let (behind, elsewhere) = (Origin::fixed("", "from the bucket"), Origin::fixed("", "from elsewhere"));
    let bucket = bucket(&behind);
    let edge = edge(&bucket, elsewhere.address.port());
    for (path, theirs, want) in [
        ("/eu/stays", "", 200),
        ("/us/stays", "", 403),
        // A host of the function's, the origin's signature.
        ("/eu/kept", "", 200),
        ("/us/kept", "", 403),
        ("/us/moved", "", 200),
        ("/eu/moved", "", 403),
        ("/us/here", "", 200),
        ("/eu/off", "", 403),
        ("/eu/never", "", 403),
        ("/below", "", 200),
        ("/us/plain/chosen", "", 200),
        // The viewer's own goes on where it says so, and nowhere else.
        ("/eu/theirs", "", 200),
        ("/eu/theirs", "Basic eA==", 403),
        ("/eu/stays", "Basic eA==", 200),
        // Nothing to sign with; nobody the configuration names.
        ("/us/plain/none", "", 502),
        ("/eu/strange", "", 502),
        ("/eu/port", "", 502),
        // One function takes the signature away, and the next says nothing of it.
        ("/eu/unsaid", "", 403),
        ("/eu/named", "", 200),
    ] {
        let fields = [("Authorization", theirs)];
        let reply = edge.get_with(path, if theirs.is_empty() { &[] } else { &fields });
        assert_eq!(reply.status, want, "{path} {theirs}: {}\n{}", reply.text(), edge.stderr());
        assert_eq!(reply.text() == "from the bucket", want == 200, "{path} {theirs}");
    }
    assert_eq!(elsewhere.count(), 0);
    assert!(edge.stderr().contains("localhost has no public address"), "{}", edge.stderr());
    until("the host it was signed for", || {
        bucket.access_log().iter().find(|line| line["host"] == "tenant.example").cloned()
    });
    for (path, words) in [("/us/plain/none", "`plain` has no `sign`"), ("/eu/port", "the address is not public")] {
        let reply = edge.get(path);
        let line = edge.log_line(reply.field("x-amz-cf-id").unwrap());
        assert!(line["error"].as_str().unwrap().contains(words), "{line}");
    }
}
