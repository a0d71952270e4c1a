//! Local: operations that say something of the front itself.
//!
//! In: its configuration. Out: their answers. Never: an engine asked.

use serde_json::json;

/// How long an SDK may keep an endpoint, in minutes: AWS's own figure.
const CACHE_MINUTES: u64 = 1440;

/// DescribeEndpoints: the address that was asked, so that an SDK which looks for endpoints stays here.
pub fn endpoints(host: Option<&str>, region: &str) -> Vec<u8> {
    let own = format!("dynamodb.{region}.amazonaws.com");
    let address = host.unwrap_or(&own);
    json!({"Endpoints": [{"Address": address, "CachePeriodInMinutes": CACHE_MINUTES}]}).to_string().into_bytes()
}

/// DescribeLimits: what AWS gives an account at first (developer guide, "Quotas", "Read/write throughput").
pub fn limits() -> Vec<u8> {
    json!({
        "AccountMaxReadCapacityUnits": 80_000, "AccountMaxWriteCapacityUnits": 80_000,
        "TableMaxReadCapacityUnits": 40_000, "TableMaxWriteCapacityUnits": 40_000
    })
    .to_string()
    .into_bytes()
}
