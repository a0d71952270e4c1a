//! Bus: whatever another node sends, what is taken of it is what a node would have sent, and no manifest is believed unsigned.

use bytes::Bytes;
use rimward::fleet::bus::Message;
use rimward::fleet::counters::{Rates, Usage};
use rimward::fleet::data::Datum;
use rimward::fleet::items;
use rimward::fleet::revision::Envelope;

pub fn run(data: &[u8]) {
    if let Ok(rates) = Rates::decode(data) {
        assert_eq!(rates.encode(), data);
    }
    if let Ok(usage) = Usage::decode(data) {
        assert_eq!(usage.encode(), data);
    }
    let _ = items::heard(data);
    if let Ok(envelope) = Envelope::parse(data) {
        assert!(envelope.open(&[[7; 32]], 1 << 20).is_err(), "nobody signed it");
        assert_eq!(Envelope::parse(&envelope.bytes()).map(|again| again.bytes()).ok(), Some(envelope.bytes()));
    }
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let subject = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let body = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    if let Some(datum) = Datum::read(&Message { subject, id: String::new(), body }) {
        let again = datum.message("id".to_owned());
        assert_eq!(Datum::read(&again), Some(datum));
    }
}
