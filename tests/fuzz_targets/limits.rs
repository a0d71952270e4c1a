//! Limits: bounds small enough for inputs of a few hundred bytes to reach them..

use rimward::config::compiled::Limits;
use std::time::Duration;

pub fn limits() -> Limits {
    let second = Duration::from_secs(1);
    Limits {
        connections: 1,
        connections_per_address: 1,
        connections_exempt: Vec::new(),
        header_timeout: second,
        header_count: 8,
        header_size: 256,
        uri_size: 64,
        idle_timeout: second,
        body_timeout: second,
        body_min_rate: 0,
        body_grace: second,
        body_size: 64,
        signed_bodies: 64,
        signed_bodies_per_address: 64,
        signed_body_timeout: second,
        write_timeout: second,
        requests_per_connection: 1,
        h2_streams: 1,
        h2_resets: 1,
        h2_reset_window: second,
    }
}
