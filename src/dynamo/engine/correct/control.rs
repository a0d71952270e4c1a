//! Control: what AWS refuses about tables and the engine takes.
//!
//! In: requests about tables. Out: refusals. Never: an item.

use dynoxide::Database;
use serde_json::Value;

use super::super::super::fault::Fault;
use super::super::super::request::{Request, list, text};

/// Bytes of a key attribute's name (developer guide, "Quotas", "Naming rules": key names are 1 to 255 long).
const KEY_NAME_MAX: usize = 255;

/// # Errors
/// A key attribute's name is too long.
pub fn names(request: &Request) -> Result<(), Fault> {
    let names = list(request, "AttributeDefinitions").filter_map(|one| one.get("AttributeName")?.as_str());
    for name in names {
        if name.len() > KEY_NAME_MAX {
            return Err(Fault::validation(format!(
                "1 validation error detected: Value '{name}' at 'attributeDefinitions.1.member.attributeName' failed to \
                 satisfy constraint: Member must have length less than or equal to {KEY_NAME_MAX}"
            )));
        }
    }
    Ok(())
}

/// # Errors
/// A tag has a sign that tags may not have, or is one of AWS's own (API reference, "Tag").
pub fn tags(request: &Request) -> Result<(), Fault> {
    let fits = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    for tag in list(request, "Tags") {
        let part = |name: &str| tag.get(name).and_then(Value::as_str).unwrap_or_default();
        let (key, value) = (part("Key"), part("Value"));
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(Fault::validation(format!(
                "One or more parameter values were invalid: Tag key {key} is not valid: the prefix aws: is reserved"
            )));
        }
        if !key.chars().all(fits) || !value.chars().all(fits) {
            return Err(Fault::validation(
                "One or more parameter values were invalid: a tag may have letters, white space, numbers and _.:/=+-@",
            ));
        }
    }
    Ok(())
}

/// # Errors
/// TTL is already as asked for.
pub fn ttl(db: &Database, request: &Request) -> Result<(), Fault> {
    let Some(enabled) = request.get("TimeToLiveSpecification").and_then(|to| to.get("Enabled")?.as_bool()) else {
        return Ok(());
    };
    let found = text(request, "TableName").and_then(|name| db.get_table_metadata(name).ok().flatten());
    match found {
        Some(table) if table.ttl_enabled && enabled => Err(Fault::validation("TimeToLive is already enabled")),
        Some(table) if !table.ttl_enabled && !enabled => Err(Fault::validation("TimeToLive is already disabled")),
        _ => Ok(()),
    }
}
