//! A short, repeatable fuzz of every parser on stable: a small corpus, mutated by a seeded generator. `fuzz/` runs the
//! same targets for as long as one likes.
// Panicking is how a target fails; clippy knows that only of `#[test]` functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod drive;
#[path = "../fuzz_targets/mod.rs"]
mod fuzz_targets;

use drive::{ITERATIONS_SLOW, drive, drive_for};

#[test]
fn directives() {
    drive(
        fuzz_targets::directives::run,
        &[
            b"\0max-age=60, public",
            b"\0no-cache=\"a, b\", private=\"c\", max-age=\"5\"\n\x05 12\n\x06Accept, Origin",
            b"\x01max-age=60;x=1, foo=(1 \"a\";b), no-store=?0\n\0no-store",
            b"\x02s-maxage=9, must-revalidate\n\x03Thu, 01 Jan 2026 01:00:00 GMT\n\x04Thu, 01 Jan 2026 00:00:00 GMT",
            b"\0max-age=0, stale-while-revalidate=3, stale-if-error=4\n\x07\"a\"\n\x08a=b",
        ],
    );
}

#[test]
fn range() {
    drive(
        fuzz_targets::range::run,
        &[b"\x64bytes=0-0", b"\x64bytes=0-1,5-9, -3", b"\x00bytes=-1", b"\xffbytes=9-,2-3"],
    );
}

#[test]
fn conditional() {
    drive(
        fuzz_targets::conditional::run,
        &[b"\"a\"\n\"a\", W/\"b\"", b"W/\"a\"\n*\n\"a\"", b"a\n\n\nThu, 01 Jan 2026 00:00:00 GMT"],
    );
}

#[test]
fn path() {
    drive(
        fuzz_targets::path::run,
        &[
            b"private/a;v=1/b",
            b"private;%2fx/a",
            b"a%2Fb//c%5cd\\e",
            b";/a%3Bb/%41",
            b"x/..;/%2e%2e/y/.",
            b".well-known/%E2%82%AC",
        ],
    );
}

#[test]
fn key() {
    drive(
        fuzz_targets::key::run,
        &[
            b"a.b:80\n/p\nq=1\nx\ny\0A.b:80\n/p\nq=1\nx\ny",
            b"a.b:80\n/p\nq=1\nx\ny\0a.b\n/p\nq=1\nx\ny",
            b"h\n/\0h\n/\n",
            b"h\n/a\nb\0h\n/\na\nb",
            b"h\n\n\n\0h\n/\n\n\n",
        ],
    );
}

#[test]
fn vary() {
    drive(fuzz_targets::vary::run, &[b"Accept, Origin\n1\n2\n1\n2", b"*", b"a, b\n1:\n\n\n1:", b" ,,\t\nx\ny\n x\ny "]);
}

#[test]
fn location() {
    drive(
        fuzz_targets::location::run,
        &[b"/a/b?q\nhttp://shop.example/x#y", b"/\n../../c?d", b"/a/b\n//shop.example", b"/a\n?x", b"/a/\n./b/.."],
    );
}

#[test]
fn head() {
    drive(
        fuzz_targets::head::run,
        &[
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST http://h/a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            b"PUT /a HTTP/1.1\r\nHost: h:80\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
            b"\r\nGET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        ],
    );
}

#[test]
fn framing() {
    drive(
        fuzz_targets::framing::run,
        &[
            b"\x015\r\nhello\r\n0\r\n\r\nGET /",
            b"\x02A;x=\"y\"\r\n0123456789\r\n000\r\nX-A: b\r\n\r\n",
            b"\x031\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        ],
    );
}

#[test]
fn result() {
    drive(
        fuzz_targets::result::run,
        &[
            b"\0{\"uri\":\"/b\",\"method\":\"GET\",\"querystring\":\"x\",\"headers\":{\"host\":[{\"key\":\"Host\",\"value\":\"h\"}]}}",
            b"\x09{\"uri\":\"/b\",\"origin\":{\"custom\":{\"domainName\":\"a.example\",\"port\":443,\"customHeaders\":{}}}}",
            b"\x08{\"status\":\"200\",\"headers\":{\"x-a\":[{\"value\":\"1\"}]},\"body\":\"YQ==\",\"bodyEncoding\":\"base64\"}",
            b"\x08{\"uri\":\"/\",\"body\":{\"action\":\"replace\",\"encoding\":\"text\",\"data\":\"x\"}}",
            b"\x0a{\"status\":404,\"headers\":{\"X-A\":[{\"value\":[\"1\",\"2\"]}]},\"body\":\"\"}",
            b"\x0c{\"result\":{\"uri\":\"/c\",\"querystring\":{\"a\":{\"value\":\"2\"}},\"cookies\":{\"c\":{\"value\":\"1\"}},\"headers\":{}}}",
            b"\x0c{\"result\":{\"uri\":\"/c\"},\"origin\":{\"op\":\"select\",\"id\":\"a\",\"overrides\":{\"originPath\":\"/p\"}}}",
            b"\x0f{\"result\":{\"statusCode\":200,\"headers\":{},\"cookies\":{\"a\":{\"multiValue\":[{\"value\":\"1\"}]}}}}",
            b"\0{\"errorType\":\"E\",\"errorMessage\":\"m\",\"stackTrace\":[\"at f\"]}",
        ],
    );
}

#[test]
fn sigv4() {
    drive(
        fuzz_targets::sigv4::run,
        &[
            b"\0example.amazonaws.com\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\nauthorization:AWS4-HMAC-SHA256 \
              Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
              Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            b"\0example.amazonaws.com:443\n/a/../b\nX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2F\
              us-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&\
              X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d",
            b"\0h\n/\nX-Amz-Security-Token=%2F\nauthorization:AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/service/\
              aws4_request,SignedHeaders=host;x-amz-date;x-amz-region-set,Signature=3045022018b4e277d0281864beb51d3600e2\n\
              x-amz-date:20150830T123600Z\nx-amz-region-set:us-*,*\nx-amz-content-sha256:UNSIGNED-PAYLOAD",
            b"\x01{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"execute-api:*\",\"Resource\":\"arn:aws:*\",\
              \"Condition\":{\"DateLessThan\":{\"aws:CurrentTime\":\"2015-08-30T12:36:00+01:00\"}}},{\"Effect\":\"Deny\",\"NotAction\":\
              \"a:?*b\",\"NotResource\":[\"*\"]}]}",
            b"\x02400;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\naaaa\r\n",
            b"\x020;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n\r\n",
        ],
    );
}

#[test]
fn config() {
    drive_for(
        ITERATIONS_SLOW,
        fuzz_targets::config::run,
        &[
            b"[pop]\ncode = \"FRA\"\nlisten = [\"127.0.0.1:80\"]\n[[origin]]\nname = \"a\"\nurl = \"http://a\"\n",
            b"[[origin]]\nname = \"g\"\ngenerated = { body = \"x\" }\n[[behavior]]\nmatch = \"*\"\ncache = { ttl = \"5m\" }\n",
            b"[cache]\nmemory = \"1MiB\"\n[limits]\nbody_size = \"2GB\"\n[admin]\ntoken = \"env:X\"\n",
            b"[[behavior]]\nmatch = \"h/*\"\nredirect = { to = \"https://$host$uri\" }\n[observe]\nlevel = \"warn\"\n",
        ],
    );
}

#[test]
fn jwt() {
    drive(
        fuzz_targets::jwt::run,
        &[
            b"Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2kiLCJleHAiOjF9.AAAA",
            b"eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2kiLCJzdWIiOiJ1IiwiZXhwIjo5OTk5OTk5OTk5fQ.AAAA",
            b"jwt=eyJhbGciOiJub25lIn0.e30.; a=b",
            b"t=eyJhbGciOiJFZERTQSIsImNyaXQiOltdfQ.e30.AAAA&u",
        ],
    );
}

#[test]
fn jwk() {
    drive_for(
        ITERATIONS_SLOW,
        fuzz_targets::jwk::run,
        &[
            b"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
            b"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
            b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----",
        ],
    );
}

#[test]
fn signed() {
    drive(
        fuzz_targets::signed::run,
        &[
            b"/a?x=1&Expires=9999999999&Signature=AAAA&Key-Pair-Id=K",
            b"/a?Policy=eyJTdGF0ZW1lbnQiOlt7fV19&Signature=MAYCAQECAQE_&Key-Pair-Id=K&Hash-Algorithm=SHA256",
            b"a=1; CloudFront-Expires=9999999999; CloudFront-Signature=MAYCAQECAQE_; CloudFront-Key-Pair-Id=K",
        ],
    );
}

#[test]
fn credentials() {
    drive_for(
        ITERATIONS_SLOW,
        fuzz_targets::credentials::run,
        &[
            b"/a?token=eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AA\nx-api-key: disabled-key-0123456789",
            b"/a\nx-api-key: unknown-key-0123456789\nauthorization: Bearer eyJhbGciOiJub25lIn0.e30.\ncookie: session=a.b.c; b=1",
            b"/a?Expires=9999999999&Signature=AAAA&Key-Pair-Id=K2&Hash-Algorithm=SHA256",
            b"/a\ncookie: CloudFront-Policy=e30_; CloudFront-Signature=MAYCAQECAQE_; CloudFront-Key-Pair-Id=K2",
            b"/a\nauthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/eu-central-1/execute-api/aws4_request, \
              SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\n\
              x-amz-date: 20261126T000000Z",
            b"/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261126%2Feu-central-1%2Fexecute-api%2Faws4_request\
              &X-Amz-Date=20261126T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=00",
        ],
    );
}

#[test]
fn authorizer() {
    drive(
        fuzz_targets::authorizer::run,
        &[
            br#"{"principalId":"u","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":"execute-api:Invoke","Effect":"Allow","Resource":"arn:aws:execute-api:*:*:api/prod/GET/pets/*"}]},"context":{"n":1},"usageIdentifierKey":"k"}"#,
            br#"{"principalId":"u","policyDocument":{"Statement":{"Action":"*","Effect":"Deny","Resource":"*"}}}"#,
            br#"{"isAuthorized":true,"context":{"a":"b"}}"#,
            br#"{"isAuthorized":"true"}"#,
        ],
    );
}

#[test]
fn template() {
    drive_for(
        ITERATIONS_SLOW,
        fuzz_targets::template::run,
        &[
            b"#set($x = $input.path('$.a'))#foreach($i in $x)$i#if($foreach.hasNext),#end#end\0{\"a\":[1,2,{\"b\":null}]}",
            b"{\"k\": $input.json('$.a[1].b'), \"q\": \"$util.escapeJavaScript($input.params('q'))\"}",
            b"#macro(m $a)$a.length()#end#m('x')#set($y = {'a': [1..3]})$y.a[0] ${y} $!none #* c *# ## d\n#[[ $raw ]]#",
            b"#set($context.responseOverride.status = 418)$util.base64Encode($input.body)$util.urlDecode('%zz')",
        ],
    );
}

#[test]
fn bus() {
    drive(
        fuzz_targets::bus::run,
        &[
            b"\x01\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
            b"\x02\x07\0\0\0\0\0\0\0\0\0\0\0",
            b"{\"table\":\"t\",\"schema\":\"pk:S\",\"at\":5,\"node\":\"fra-1\",\"item\":{\"pk\":{\"S\":\"a\"}}}",
            b"{\"key\":\"ed25519:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\",\"signature\":\"AAAA\",\"manifest\":\"e30=\"}",
            b"kv.store.aw\n{\"value\":\"dg\"}",
            b"key.bmFtZQ\n{\"value\":null}",
        ],
    );
}

#[test]
fn answer() {
    drive(
        fuzz_targets::answer::run,
        &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nhello",
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nConnection: close, x-a\r\nX-A : b\r\n c\r\n\r\n0\r\n\r\n",
            b"HTTP/1.0 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5, 5\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\nTransfer-Encoding: identity\nContent-Length: 5\n\n",
        ],
    );
}

#[test]
fn chunks() {
    drive(
        fuzz_targets::chunks::run,
        &[
            b"\x015\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK",
            b"\x02A;x=\"y\"\r\n0123456789\r\n000\r\nX-A: b\r\n\r\n",
            b"\x031 \r\na\r\n1\t;x\r\nb\r\n0\r\nb: c\r\n\r\n",
        ],
    );
}

#[test]
fn purge() {
    drive(
        fuzz_targets::purge::run,
        &[
            b"https://Shop.example:8443/a?b=c",
            b"shop.example/dir/*",
            b"/dir*",
            b"[::1]",
            b"*",
            b"#News",
            b"A b,c  a, D",
            b"\x82shop.example\0/a?b",
            b"\x04shop.example\0/dir/",
            b"\x05news",
            b"\x81shop.example",
            b"{\"lineage\":\"7\",\"first\":1,\"last\":2,\"purges\":[[1,\"AA\"],[2,\"BW5ld3M\"]]}",
        ],
    );
}

#[test]
fn disk() {
    use rimward::cache::object::{Meta, Stamp};
    use rimward::cache::store::disk::{codec, segment};
    let meta = Meta {
        status: 200,
        responded_ms: 1,
        initial_age_ms: 2,
        lifetime_ms: 3,
        stale_while_revalidate_ms: 4,
        stale_if_error_ms: 5,
        must_revalidate: true,
        no_cache: false,
        fetch_start: Stamp(6),
        host: "shop.example".into(),
        uri: "/a?b".into(),
        tags: ["news".into(), "a".into()].into(),
        vary: [http::header::ACCEPT].into(),
        variance: Some([7; 16]),
        masked: false,
    };
    let described = codec::encode(b"key", &meta, b"etag: \"a\"\r\n");
    let place = rimward::cache::store::disk::Place {
        head_at: 8,
        body_at: 0,
        body_len: 9,
        head_seg: 1,
        body_seg: 7,
        head_len: described.len() as u32,
        hit: false,
    };
    let entry = segment::Entry { kind: segment::Kind::Refresh, hash: [5; 16], place };
    let record = segment::record(&entry, &described);
    let end = (segment::MAGIC.len() + record.len()) as u64;
    let whole = [&[1][..], &segment::MAGIC, &record, &segment::table(&[entry], end)].concat();
    let removal = segment::Entry { kind: segment::Kind::Remove, ..entry };
    let removals =
        [&[1][..], &segment::MAGIC, &segment::record(&removal, b""), &segment::record(&removal, b"")].concat();
    drive(
        fuzz_targets::disk::run,
        &[
            &[&[0][..], &described].concat(),
            &whole,
            &removals,
            &[&[2][..], &described].concat(),
            b"\x02",
            b"\x03RIMINV01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x1e\xa6\x21\x28",
        ],
    );
}

#[test]
fn frames() {
    let ping = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";
    let reset = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    drive(
        fuzz_targets::frames::run,
        &[
            &[&[1][..], b"\0\0\0\x04\0\0\0\0\0", ping, reset].concat(),
            &[&[7][..], reset, b"\0\0\x03\0\x01\0\0\0\x01abc", reset].concat(),
            &[&[200][..], &[0; 9].repeat(20)].concat(),
            b"\x05\xff\xff\xff\x03\0\0\0\0\x01",
        ],
    );
}

#[test]
fn accept() {
    drive(
        fuzz_targets::accept::run,
        &[
            b"gzip, deflate, br, zstd",
            b"gzip;q=1.0, identity; q=0.5, *;q=0",
            b"br;q=0.001;x=1, x-gzip;Q=1.000",
            b"*, br;q=0",
        ],
    );
}

#[test]
fn dns() {
    drive(
        fuzz_targets::dns::run,
        &[
            b"\0\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03cdn\x04edge\x07example\0\0\x01\0\x01",
            b"\0\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x01a\x04apps\x04edge\x07example\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\x0b\
              \0\x08\0\x07\0\x01\x18\0\x0a\x01\x02",
            b"\x01\x12\x34\0\0\0\x01\0\0\0\0\0\0\x04edge\x07example\0\0\xff\0\x01",
            b"\0\x12\x34\x28\0\0\x01\0\0\0\0\0\0\x05other\x07example\0\0\x06\0\x01",
        ],
    );
}
