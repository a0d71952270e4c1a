//! Nets: a list of addresses as an operator writes it.
//!
//! In: text, one CIDR or address a line. Out: networks, or the line that is none. Never: a name to resolve, I/O.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads one network or address a line; empty lines, and what follows a `#`, are left out. Host bits that are set are cut off,
/// as `192.0.2.7/24` names the same addresses as `192.0.2.0/24`. Lines are counted from 1.
pub fn parse(text: &str) -> Result<Vec<IpNet>, (usize, String)> {
    let mut nets = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let word = line.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        let Some(net) = one(word) else {
            let shown: String = word.chars().take(60).collect();
            return Err((at + 1, format!("'{shown}' is neither an address nor a network such as 192.0.2.0/24")));
        };
        nets.push(net);
    }
    Ok(nets)
}

/// A network, or an address as one.
pub fn one(word: &str) -> Option<IpNet> {
    let net = match word.contains('/') {
        true => word.parse::<IpNet>().ok(),
        false => word.parse::<IpAddr>().ok().map(IpNet::from),
    };
    net.map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let text = "\u{feff}# office\r\n192.0.2.7/24 # all of it\n\n2001:db8::/32\n  198.51.100.1  \n::1\n";
        let nets: Vec<_> = parse(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["192.0.2.0/24", "2001:db8::/32", "198.51.100.1/32", "::1/128"]);
        assert_eq!(parse("").unwrap(), []);
        for (text, line) in [("192.0.2.0/33", 1), ("# a\nexample.com", 2), ("::1\n192.0.2", 2), ("1.2.3.4 5.6.7.8", 1)]
        {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
