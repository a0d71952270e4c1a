//! Record: one change, as its stream's view shows it.
//!
//! In: the engine's record with both images. Out: AWS's JSON. Never: an image that the view does not show.

use dynoxide::actions::get_records::Record;
use dynoxide::types::item_size;
use serde_json::{Value, json};

/// The record.
pub fn shown(mut record: Record, view: &str, region: &str) -> Value {
    if matches!(view, "KEYS_ONLY" | "OLD_IMAGE") {
        record.dynamodb.new_image = None;
    }
    if matches!(view, "KEYS_ONLY" | "NEW_IMAGE") {
        record.dynamodb.old_image = None;
    }
    let images = [&record.dynamodb.new_image, &record.dynamodb.old_image];
    let size = item_size(&record.dynamodb.keys) + images.into_iter().flatten().map(item_size).sum::<usize>();
    record.dynamodb.size_bytes = i64::try_from(size).unwrap_or(i64::MAX);
    record.dynamodb.stream_view_type = view.to_owned();
    record.aws_region = region.to_owned();
    let identity = record.user_identity.take();
    let mut shown = serde_json::to_value(&record).unwrap_or_else(|_| json!({}));
    if let Some(identity) = identity {
        // The API's names; "type" and "principalId" are those of a Lambda event.
        shown["userIdentity"] = json!({"Type": identity.identity_type, "PrincipalId": identity.principal_id});
    }
    shown
}
