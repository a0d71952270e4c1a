//! Signer: `[[sigv4]]` becomes keys and what they may sign.
//!
//! In: schema. Out: compiled, secrets read, policies parsed. Never: a signature verified.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::access::{resource, some};
use super::{Checked, Report, all};
use crate::config::compiled::{AccessKey, DayKey, KeyMaterial, PayloadPolicy, Signer, SignerId};
use crate::config::iam::Policy;
use crate::config::schema;
use crate::config::secret::Secret;
use crate::config::source::At;

pub(super) fn signer(at: &At, written: schema::Sigv4, report: &mut Report<'_>) -> Checked<Signer> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if !plain(&written.service) {
        report.refuse(&at.key("service"), "a service is a word like \"execute-api\"");
    }
    for (i, region) in written.regions.iter().enumerate().filter(|(_, region)| !plain(region)) {
        report.refuse(&at.key("regions").index(i), format!("'{region}' is no region"));
    }
    let names = ["region", "stage", "method", "path"];
    let resource = resource(&at.key("resource"), written.resource, &names, report);
    let skew = report.positive(&at.key("skew"), written.skew.get());
    let each = written.key.into_iter().enumerate();
    let keys = all(each.map(|(i, one)| access_key(&at.key("key").index(i), one, report)).collect::<Vec<_>>());
    let mut keys = some(&at.key("key"), keys, report)?;
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(twice) = keys.windows(2).find(|two| matches!(two, [a, b] if a.id == b.id)).and_then(|two| two.first()) {
        return Err(report.refuse(&at.key("key"), format!("the access key '{}' is there twice", twice.id)));
    }
    Ok(Signer {
        name: written.name,
        service: written.service,
        regions: written.regions,
        skew: skew?,
        payload: PayloadPolicy { unsigned: written.unsigned_payload, chunked: written.chunked_payload },
        normalize: written.normalize,
        keys: Arc::new(keys),
        action: written.action,
        resource: resource?,
    })
}

/// A `[[sigv4]]` as others name it.
pub(super) struct Service {
    name: String,
    service: String,
}

/// What can be named, in the order of the configuration.
pub(super) fn services(written: &[schema::Sigv4]) -> Vec<Service> {
    written.iter().map(|one| Service { name: one.name.clone(), service: one.service.clone() }).collect()
}

/// The `[[sigv4]]` of that name, whose keys sign for `service`.
pub(super) fn keyed(
    at: &At,
    name: &str,
    service: &str,
    signers: &[Service],
    report: &mut Report<'_>,
) -> Checked<SignerId> {
    match signers.iter().position(|one| one.name == name) {
        Some(found) if signers.get(found).is_some_and(|one| one.service != service) => Err(report.refuse_with(
            at,
            format!("the keys of '{name}' sign for another service"),
            format!("SDKs sign for \"{service}\": write service = \"{service}\" in that [[sigv4]]"),
        )),
        Some(found) => Ok(found),
        None => Err(report.unknown(at, "sigv4", name, signers.iter().map(|one| one.name.as_str()))),
    }
}

fn access_key(at: &At, written: schema::AccessKey, report: &mut Report<'_>) -> Checked<AccessKey> {
    let id_at = at.key("id");
    // IAM's API reference, "AccessKey": 16 to 128 of [\w].
    if !(1..=128).contains(&written.id.len()) || !written.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        report.refuse(&id_at, format!("'{}' is no access key id: 1 to 128 letters, digits and '_'", written.id));
    }
    let material = match (&written.secret, &written.days, &written.public) {
        (Some(secret), None, None) => report.secret(&at.key("secret"), &secret.0).map(KeyMaterial::Secret),
        (None, Some(days), None) => day_keys(&at.key("days"), &days.0, report).map(KeyMaterial::Days),
        (None, None, Some(public)) => point(&at.key("public"), public, report).map(KeyMaterial::Public),
        _ => Err(report
            .refuse(at, format!("access key '{}' needs exactly one of 'secret', 'days' and 'public'", written.id))),
    };
    let token = written.session_token.map(|token| report.secret(&at.key("session_token"), &token.0)).transpose();
    let policy = written.policy.map(|path| policy(&at.key("policy"), &path, report)).transpose();
    Ok(AccessKey {
        material: material?,
        session_token: token?,
        principal: written.principal.unwrap_or_else(|| format!("arn:aws:iam::000000000000:access-key/{}", written.id)),
        policy: policy?.map(Arc::new),
        id: written.id,
    })
}

pub(super) fn policy(at: &At, path: &str, report: &mut Report<'_>) -> Checked<Policy> {
    let (bytes, _) = report.content(at, path)?;
    match std::str::from_utf8(&bytes)
        .map_err(|error| error.to_string())
        .and_then(|text| Policy::parse(text).map_err(|error| error.to_string()))
    {
        Ok(policy) => Ok(policy),
        Err(why) => Err(report.refuse(at, format!("{path}: {why}"))),
    }
}

/// Lines of `DATE REGION SERVICE HEX`, as `rimward keys derive` prints them.
fn day_keys(at: &At, reference: &str, report: &mut Report<'_>) -> Checked<Vec<DayKey>> {
    let text = report.secret(at, reference)?;
    let mut keys = Vec::new();
    for (i, line) in text.expose().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let key = match parts[..] {
            [date, region, service, key] if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) => hex(key)
                .map(|key| DayKey {
                    date: date.to_owned(),
                    region: region.to_owned(),
                    service: service.to_owned(),
                    key: Secret::new(key),
                }),
            _ => None,
        };
        let Some(key) = key else {
            let help = "each line is DATE REGION SERVICE KEY, as `rimward keys derive` prints it";
            return Err(report.refuse_with(at, format!("line {} of the derived keys cannot be read", i + 1), help));
        };
        keys.push(key);
    }
    Ok(keys)
}

/// 64 hex digits.
pub(super) fn hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(bytes)
}

/// An uncompressed P-256 point in base64.
fn point(at: &At, text: &str, report: &mut Report<'_>) -> Checked<Vec<u8>> {
    match STANDARD.decode(text) {
        Ok(point) if point.len() == 65 && point.first() == Some(&4) => Ok(point),
        _ => Err(report.refuse_with(
            at,
            "this is no public key",
            "an uncompressed P-256 point in base64, as `rimward keys derive --public` prints it",
        )),
    }
}
