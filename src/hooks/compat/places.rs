//! Places: which of AWS's regions an origin's host is in.
//!
//! In: a host. Out: a bucket's region; that of any AWS service. Never: a website endpoint as a bucket: it is a custom origin at
//! CloudFront too.

/// The region that an endpoint without one is in (Amazon S3 User Guide, "Virtual hosting of buckets").
const FIRST: &str = "us-east-1";

/// The region of `BUCKET.s3.REGION.amazonaws.com`, `BUCKET.s3-REGION.amazonaws.com` and `BUCKET.s3.amazonaws.com`; `None` = no bucket.
/// A bucket's name may have dots.
pub fn bucket(host: &str) -> Option<&str> {
    let (before, last) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
    let (bucket, region) = match last.strip_prefix("s3-") {
        _ if last == "s3" => (before, FIRST),
        Some(region) => (before, region),
        None => (before.strip_suffix(".s3")?, last),
    };
    (!bucket.is_empty() && is_region(region)).then_some(region)
}

/// The region that a name of AWS's says it is in: `ID.lambda-url.REGION.on.aws`, `….SERVICE.REGION.amazonaws.com`, a bucket's.
pub fn region(host: &str) -> Option<&str> {
    let named = || {
        let before = host.strip_suffix(".on.aws").or_else(|| host.strip_suffix(".amazonaws.com"))?;
        before.rsplit_once('.').map(|(_, last)| last).filter(|last| is_region(last))
    };
    bucket(host).or_else(named)
}

/// `eu-central-1`, `us-gov-west-1`: other words behind "s3-" (`website-…`, `accelerate`, `fips-…`) are other endpoints.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let area = parts.next().is_some_and(|area| area.len() == 2 && area.bytes().all(|b| b.is_ascii_lowercase()));
    let number = parts.next_back().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let mut names = parts.peekable();
    area && number && names.peek().is_some() && names.all(|name| name.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_are_buckets() {
        for (host, want) in [
            ("b.s3.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("my.dotted.bucket.s3.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("b.s3.amazonaws.com", Some("us-east-1")),
            ("b.s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", None),
            ("b.s3-website-us-east-1.amazonaws.com", None),
            ("b.s3-website.eu-central-1.amazonaws.com", None),
            ("b.s3.dualstack.eu-west-1.amazonaws.com", None),
            ("b.s3-accelerate.amazonaws.com", None),
            ("b.execute-api.eu-west-1.amazonaws.com", None),
            ("b.s3.eu-west-1.amazonaws.com.evil.example", None),
            ("b.s3.example", None),
            ("", None),
        ] {
            assert_eq!(bucket(host), want, "{host}");
        }
    }

    #[test]
    fn which_hosts_say_where_they_are() {
        for (host, want) in [
            ("b.s3.amazonaws.com", Some("us-east-1")),
            ("b.s3-eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("abc.lambda-url.eu-central-1.on.aws", Some("eu-central-1")),
            ("x.data.mediastore.us-west-2.amazonaws.com", Some("us-west-2")),
            ("b.s3.dualstack.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("b.s3-accelerate.amazonaws.com", None),
            ("abc.lambda-url.eu-central-1.on.aws.evil.example", None),
            ("eu-west-1.example", None),
            ("on.aws", None),
            ("", None),
        ] {
            assert_eq!(region(host), want, "{host}");
        }
    }
}
