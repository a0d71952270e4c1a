//! Accept: the coding chosen from Accept-Encoding is one that is offered and not refused, however the field is spelled or cut into lines.

use rimward::behavior::compress::negotiate;
use rimward::config::compiled::{Coding, Compress};
use rimward::message::Head;

pub fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|b| *b == b',').collect();
    for offered in [&[Coding::Zstd, Coding::Brotli, Coding::Gzip][..], &[Coding::Gzip, Coding::Brotli], &[]] {
        let chosen = choose(offered, &[data]);
        assert!(chosen.is_none_or(|coding| offered.contains(&coding)));
        assert_eq!(choose(offered, &lines), chosen, "lines are one list (RFC 9110 §5.3)");
        assert_eq!(choose(offered, &[&data.to_ascii_uppercase()]), chosen, "case does not count");
        assert_eq!(choose(offered, &[data, b"unknown;q=1, ;, "]), chosen, "what is not known does not count");
        if let Some(coding) = chosen {
            // Of a coding named twice, the first counts.
            let refused = format!("{};q=0", coding.as_str());
            assert_ne!(choose(offered, &[refused.as_bytes(), data]), chosen);
            assert_eq!(choose(&[coding], &[data]), chosen, "also when nothing else is offered");
        }
    }
}

fn choose(offered: &[Coding], lines: &[&[u8]]) -> Option<Coding> {
    let compress = Compress { codings: offered.to_vec(), types: Vec::new(), min_size: 0, max_size: u64::MAX };
    let fields: Vec<_> = lines.iter().map(|value| httparse::Header { name: "accept-encoding", value }).collect();
    negotiate(&compress, &Head { method: "GET", target: "/", host: "h", minor: 1, fields: &fields })
}
