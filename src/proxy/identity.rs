//! Identity: what the origin is told of who asks.
//!
//! In: whom a rule let in, the fields that a behavior names. Out: those fields; what they say, for the cache to keep apart. Never: whether
//! somebody may come in, but for one of whom the origin could not be told.

use http::{HeaderMap, HeaderValue};

use crate::access::{Claim, Denied, Entry, Reason};

use super::snapshot::Served;

/// Keeps apart too what the origin is told of who asks: its answer may depend on it.
///
/// # Errors
/// The origin cannot be told: to it, the request would be one of nobody.
pub fn told(mut entry: Entry, served: &Served) -> Result<Entry, Denied> {
    // Blanks around a field's value are not part of it (RFC 9110 §5.5): the origin would read another name.
    let sayable = |what: &str, value: &str| match HeaderValue::from_bytes(value.as_bytes()) {
        Ok(_) if value.trim_matches([' ', '\t']) == value => Ok(()),
        _ => {
            let words = format!("{what} has control characters, or blanks around it: no field can hold it");
            Err(Denied::new(Reason::Excluded, words))
        }
    };
    if let (Some(_), Some(principal)) = (&served.behavior.identity.header, &entry.principal) {
        sayable("who asks", &principal.id)?;
    }
    for (_, claim) in &served.behavior.identity.claims {
        let Entry { principal, apart, .. } = &mut entry;
        let value =
            principal.as_ref().and_then(|principal| principal.claims.get(claim)).map(Claim::words).unwrap_or_default();
        sayable(claim, &value)?;
        apart.extend_from_slice(&(value.len() as u64).to_be_bytes());
        apart.extend_from_slice(value.as_bytes());
    }
    Ok(entry)
}

/// Says who asks, in the fields that the behavior names.
pub fn identify(fields: &mut HeaderMap, served: &Served, entry: Option<&Entry>) {
    let identity = &served.behavior.identity;
    let principal = entry.and_then(|entry| entry.principal.as_ref());
    if let Some(name) = &identity.header {
        fields.remove(name);
        if let Some(value) = principal.and_then(|principal| HeaderValue::from_bytes(principal.id.as_bytes()).ok()) {
            fields.insert(name.clone(), value);
        }
    }
    for (name, claim) in &identity.claims {
        fields.remove(name);
        let value = principal.and_then(|principal| principal.claims.get(claim)).map(Claim::words);
        if let Some(value) = value.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            fields.insert(name.clone(), value);
        }
    }
}
