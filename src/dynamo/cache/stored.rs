//! Stored: what a GetItem answers after a write, without asking.
//!
//! In: an item as it was put. Out: the answer that the embedded engine gives for it: numbers in one form, sets sorted and each
//! element once. Never: an item that was not acknowledged; what another engine makes of it.

use bytes::Bytes;
use dynoxide::types::Item;
use serde::{Deserialize, Serialize};

use super::super::request::Request;

#[derive(Serialize)]
struct Answer {
    #[serde(rename = "Item")]
    item: Item,
}

/// After a delete.
pub const NOTHING: Bytes = Bytes::from_static(b"{}");

/// After a put of `item`; `None` for what is no item.
pub fn answer(item: &Request) -> Option<Bytes> {
    let mut item = Item::deserialize(item).ok()?;
    // As the engine does before it keeps an item.
    dynoxide::validation::normalize_item_sets(&mut item);
    Some(serde_json::to_vec(&Answer { item }).ok()?.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn items_have_one_form() {
        let item = json!({"pk": {"S": "a"}, "n": {"N": "1.0"}, "s": {"NS": ["10", "9.0", "9"]}, "e": {"S": "x", "N": null},
            "m": {"M": {"l": {"L": [{"N": "1e2"}, {"SS": ["b", "a"]}, {"NULL": true}]}}}, "b": {"B": "AAE="}});
        let want = json!({"Item": {"pk": {"S": "a"}, "n": {"N": "1"}, "s": {"NS": ["9", "10"]}, "e": {"S": "x"},
            "m": {"M": {"l": {"L": [{"N": "100"}, {"SS": ["a", "b"]}, {"NULL": true}]}}}, "b": {"B": "AAE="}}});
        let answer = answer(item.as_object().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), want);
        for bad in [json!({"pk": {}}), json!({"pk": "a"}), json!({"pk": {"B": "no base64"}})] {
            assert_eq!(super::answer(bad.as_object().unwrap()), None, "{bad}");
        }
    }
}
