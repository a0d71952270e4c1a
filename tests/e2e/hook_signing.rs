//! Hook signing: requests that functions send to another server than their origin's, with the signature that those to their origin have.
//!
//! In: CloudFront Functions with `originAccessControlConfig`. Out: whether another PoP, which checks signatures, takes them. Never: the
//! words of what is refused before anything is sent (tests beside the code hold them).

use crate::harness::{Origin, Pop, Setup};

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
};
function handler(event) {
  ways[event.request.uri.split('/').pop()]();
  return event.request;
}
"
    .replace("PORT", &port.to_string())
    .replace("ELSEWHERE", &elsewhere.to_string());
    std::fs::write(setup.dir().join("f.js"), function).unwrap();
    std::fs::write(setup.dir().join("secret"), SECRET).unwrap();
    setup.rest = format!(
        "[[origin]]\nname = \"bucket\"\nurl = \"http://127.0.0.1:{port}\"\nsign = {{ service = \"s3\", region = \"eu-central-1\", \
         credentials = {{ access_key = \"AKIDEXAMPLE\", secret_key = \"file:{{dir}}/secret\" }} }}\n\
         [[origin]]\nname = \"plain\"\nurl = \"http://localhost:{port}\"\n\
         [[function]]\nname = \"f\"\nfile = \"f.js\"\nflavor = \"cloudfront-2.0\"\n"
    );
    for (name, origin) in [("/us/plain/*", "plain"), ("*", "bucket")] {
        setup.rest.push_str(&format!(
            "[[behavior]]\nmatch = \"{name}\"\norigin = \"{origin}\"\ncache = false\nforward = {{ headers = [\"Authorization\"] }}\n\
             hooks = {{ viewer_request = \"f\" }}\n"
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
    ] {
        let fields = [("Authorization", theirs)];
        let reply = edge.get_with(path, if theirs.is_empty() { &[] } else { &fields });
        assert_eq!(reply.status, want, "{path} {theirs}: {}\n{}", reply.text(), edge.stderr());
        assert_eq!(reply.text() == "from the bucket", want == 200, "{path} {theirs}");
    }
    assert_eq!(elsewhere.count(), 0);
    assert!(edge.stderr().contains("localhost has no public address"), "{}", edge.stderr());
    let unsigned = edge.get("/us/plain/none");
    let line = edge.log_line(unsigned.field("x-amz-cf-id").unwrap());
    assert!(line["error"].as_str().unwrap().contains("`plain` has no `sign`"), "{line}");
}
