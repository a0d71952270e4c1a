//! Drive: one target, tried with a corpus and what a seeded generator makes of it.
//!
//! In: a target, inputs to begin with. Out: a panic that names the input. Never: another input in another run.

/// Inputs tried for each target.
const ITERATIONS: u32 = 20_000;
/// The same for a parser that builds a whole configuration or its errors.
pub const ITERATIONS_SLOW: u32 = 2_000;
/// Bytes an input may grow to.
const MAX_INPUT: usize = 512;

/// Pieces that parsers have opinions about.
const DICTIONARY: [&[u8]; 104] = [
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b" ",
    b"\t",
    b"\n",
    b"\0",
    b"*",
    b"-",
    b"/",
    b"?",
    b"&",
    b"W/",
    b"()",
    b"?1",
    b"no-store",
    b"no-cache",
    b"private",
    b"max-age=",
    b"s-maxage=1",
    b"stale-if-error=9",
    b"must-understand",
    b"must-revalidate",
    b"public",
    b"bytes=",
    b"0-0",
    b"-5",
    b"5-",
    b"18446744073709551615",
    b"99999999999999999999",
    b"\"a\"",
    b"accept",
    b"http://",
    b"//shop.example/",
    b"../",
    b":80",
    b"\xff",
    b"Thu, 01 Jan 2026 00:00:00 GMT",
    b"\r\n",
    b"\r",
    b"0\r\n\r\n",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, upgrade\r\n",
    b" HTTP/1.1",
    b"[[origin]]\n",
    b"[cache]\n",
    b"name = \"a\"\n",
    b"url = \"http://a\"\n",
    b"\"5m\"",
    b"\"1MiB\"",
    b"{ ",
    b" }",
    b"[]",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"\"headers\":{",
    b"\"value\":\"1\"",
    b"\"multiValue\":[",
    b"\"status\":\"204\",",
    b"\"statusCode\":304,",
    b"\"body\":\"x\",",
    b"\"host\":",
    b"1e999",
    b"eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.",
    b"Bearer ",
    b"jwt=",
    b"\"kty\":\"RSA\",",
    b"\"crv\":\"P-256\",",
    b"\"x\":\"AQAB\",",
    b"&Expires=9999999999",
    b"&Policy=e30_",
    b"&Signature=AAAA",
    b"&Key-Pair-Id=K",
    b"&Hash-Algorithm=SHA256",
    b"; CloudFront-",
    b"#set($x = ",
    b"#foreach($i in ",
    b"#if($x == 1)",
    b"#end",
    b"$input.json('$.a",
    b"$util.parseJson(",
    b"${x}",
    b"[0..9]",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"\r\n folded",
    b"Content-Length: 6\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"\r\n0\r\n",
    b"gzip;q=0.5",
    b"x-gzip",
    b"br;q=0",
    b"identity",
    b"zstd",
    b"#tag",
    b"https://shop.example/*",
    b"\0\0\x03\0\0\0\0\0\x01",
    b"\xc0\x0c",
    b"\x03cdn\x04edge\x07example\0",
];

/// Xorshift: the same inputs in every run.
struct Dice(u64);

// === impl Dice ===
impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// Changes the input in one to four places.
fn mutate(input: &mut Vec<u8>, corpus: &[&[u8]], dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(input.len() + 1);
        match dice.roll(6) {
            0 if at < input.len() => input[at] ^= 1 << dice.roll(8),
            1 if at < input.len() => input[at] = dice.roll(256) as u8,
            2 if at < input.len() => {
                let end = (at + 1 + dice.roll(8)).min(input.len());
                input.drain(at..end);
            }
            3 => {
                let other = corpus[dice.roll(corpus.len())];
                let from = dice.roll(other.len());
                input.splice(at..at, other[from..].iter().copied());
            }
            4 => {
                let end = (at + dice.roll(12)).min(input.len());
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            _ => {
                input.splice(at..at, DICTIONARY[dice.roll(DICTIONARY.len())].iter().copied());
            }
        }
    }
    input.truncate(MAX_INPUT);
}

/// Tries the corpus and what becomes of it.
pub fn drive(target: fn(&[u8]), corpus: &[&[u8]]) {
    drive_for(ITERATIONS, target, corpus);
}

/// The same, so many times.
pub fn drive_for(rounds: u32, target: fn(&[u8]), corpus: &[&[u8]]) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    corpus.iter().for_each(|seed| target(seed));
    for round in 0..rounds {
        let mut input = corpus[dice.roll(corpus.len())].to_vec();
        mutate(&mut input, corpus, &mut dice);
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "round {round}, input {:?}", input.escape_ascii().to_string());
    }
}
