//! Trace: which request is traced, and how its context travels.
//!
//! In: the viewer's `traceparent`, a coin. Out: a context for the request, a `traceparent` for the origin. Never: trusts the
//! viewer's own sampling flag: what is exported costs the operator.

pub mod export;

use rand::Rng;

/// Length of a version-00 `traceparent`.
pub const TRACEPARENT: usize = 55;

/// One request's place in a trace (W3C Trace Context Level 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: [u8; 16],
    /// The viewer's span, when it sent one.
    pub parent: Option<[u8; 8]>,
    /// Our span for the request, and the one for asking the origin.
    pub server: [u8; 8],
    pub client: [u8; 8],
    pub sampled: bool,
}

/// A `traceparent` that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

// === impl TraceContext ===
impl TraceContext {
    /// Continues the viewer's trace or begins one. `percent` of the requests are sampled.
    pub fn begin(parent: Option<Parent>, percent: u8, random: &mut impl Rng) -> Self {
        TraceContext {
            trace: parent.map_or_else(|| nonzero(random), |parent| parent.trace),
            parent: parent.map(|parent| parent.span),
            server: nonzero(random),
            client: nonzero(random),
            sampled: random.random_range(0..100) < percent,
        }
    }

    /// The `traceparent` to send to the origin.
    pub fn outgoing(&self) -> [u8; TRACEPARENT] {
        format(&Parent { trace: self.trace, span: self.client, sampled: self.sampled })
    }
}

/// Reads a `traceparent` (W3C Trace Context §3.2). `None` for anything malformed: a new trace begins, as §3.2.2 asks.
pub fn parse(value: &[u8]) -> Option<Parent> {
    let rest = match value {
        [b'f', b'f', ..] => return None,
        // A later version may append fields, ours may not.
        [b'0', b'0', rest @ ..] if value.len() == TRACEPARENT => rest,
        [b'0', b'0', ..] => return None,
        [a, b, rest @ ..] if digit(*a).is_some() && digit(*b).is_some() => rest,
        _ => return None,
    };
    let trace = unhex::<16>(rest.strip_prefix(b"-")?.get(..32)?)?;
    let span = unhex::<8>(rest.get(33..)?.strip_prefix(b"-")?.get(..16)?)?;
    let flags = unhex::<1>(rest.get(50..)?.strip_prefix(b"-")?.get(..2)?)?;
    if rest.get(53).is_some_and(|&next| next != b'-') || trace == [0; 16] || span == [0; 8] {
        return None;
    }
    Some(Parent { trace, span, sampled: flags[0] & 1 == 1 })
}

/// Writes a version-00 `traceparent`.
pub fn format(parent: &Parent) -> [u8; TRACEPARENT] {
    let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&parent.trace, &mut out[3..35]);
    hex(&parent.span, &mut out[36..52]);
    out[54] = b'0' + u8::from(parent.sampled);
    out
}

/// Lower-case hexadecimal of `bytes` into `out`, two digits each.
pub fn hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// Upper case is not allowed (§3.2.2.3).
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// An id; all zeros would mean "none".
fn nonzero<const N: usize>(random: &mut impl Rng) -> [u8; N] {
    let mut id = [0; N];
    random.fill_bytes(&mut id);
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparents() {
        let good = Parent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            span: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
            sampled: true,
        };
        let off = Parent { sampled: false, ..good };
        for (name, value, want) in [
            ("as the standard writes it", GOOD.to_owned(), Some(good)),
            ("not sampled", GOOD.replace("-01", "-00"), Some(off)),
            ("unknown flags are ignored", GOOD.replace("-01", "-fe"), Some(off)),
            ("later version", GOOD.replacen("00", "cc", 1), Some(good)),
            ("later version with more", GOOD.replacen("00", "cc", 1) + "-what", Some(good)),
            ("later version run on", GOOD.replacen("00", "cc", 1) + "what", None),
            ("version 00 with more", GOOD.to_owned() + "-what", None),
            ("version ff", GOOD.replacen("00", "ff", 1), None),
            ("version not hex", GOOD.replacen("00", "0x", 1), None),
            ("upper case", GOOD.to_uppercase(), None),
            ("zero trace", GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), None),
            ("zero span", GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            ("short", GOOD[..54].to_owned(), None),
            ("wrong dash", GOOD.replace("6-00", "6_00"), None),
            ("later version, short", "cc-4bf92f".to_owned(), None),
            ("empty", String::new(), None),
        ] {
            assert_eq!(parse(value.as_bytes()), want, "{name}: {value}");
        }
        assert_eq!(format(&good), GOOD.as_bytes());
    }

    #[test]
    fn a_context_continues_the_trace_and_flips_its_own_coin() {
        let mut random = StdRng::seed_from_u64(7);
        let parent = parse(GOOD.as_bytes());
        let context = TraceContext::begin(parent, 0, &mut random);
        assert_eq!(Some(context.trace), parent.map(|parent| parent.trace));
        assert_eq!(context.parent, parent.map(|parent| parent.span));
        assert!(!context.sampled, "the viewer's flag does not count");
        let sent = parse(&context.outgoing()).unwrap();
        assert_eq!((sent.trace, sent.span, sent.sampled), (context.trace, context.client, false));

        let sampled = (0..1000).filter(|_| TraceContext::begin(None, 30, &mut random).sampled).count();
        assert!((200..400).contains(&sampled), "{sampled}");
        assert!(TraceContext::begin(None, 100, &mut random).sampled);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let parent = Parent { trace: trace.to_be_bytes(), span: span.to_be_bytes(), sampled };
            proptest::prop_assert_eq!(parse(&format(&parent)), Some(parent));
        }

        #[test]
        fn what_is_read_is_well_formed(bytes in "[0-9a-f-]{50,60}") {
            if let Some(parent) = parse(bytes.as_bytes()) {
                proptest::prop_assert!(parent.trace != [0; 16] && parent.span != [0; 8] && bytes.len() >= TRACEPARENT);
            }
        }
    }
}
