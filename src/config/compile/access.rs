//! Access: `access`, `[[jwt]]`, `[[sigv4]]`, `[[key_group]]`, `[[authorizer]]` and `[[address_list]]` become rules.
//!
//! In: schema. Out: compiled, names resolved, secrets read. Never: a request judged, a key fetched.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::function::{Known, speakable};
use super::{Checked, Report, all};
use crate::config::compiled::{
    Access, AccessKey, AddressList, Authorizer, AuthorizerKind, CertificateRule, DayKey, Function, Identity,
    IdentitySource, Issuer, JwksSource, JwtAlgorithm, JwtRule, KeyGroup, KeyMaterial, PayloadPolicy, Rule, Signer,
    TokenFrom, TokenUse,
};
use crate::config::iam::Policy;
use crate::config::schema::{self, NameOr};
use crate::config::secret::Secret;
use crate::config::source::At;

/// Rules within rules: deeper than anybody can read.
const DEPTH_MAX: usize = 8;

type Written =
    (Vec<schema::Jwt>, Vec<schema::Sigv4>, Vec<schema::KeyGroup>, Vec<schema::Authorizer>, Vec<schema::AddressList>);

/// The names that rules may use, in the order written.
pub(super) struct Guards {
    issuers: Vec<String>,
    signers: Vec<String>,
    groups: Vec<String>,
    authorizers: Vec<String>,
    lists: Vec<String>,
}

// === impl Guards ===
impl Guards {
    pub(super) fn collect(
        written: (&[schema::Jwt], &[schema::Sigv4], &[schema::KeyGroup], &[schema::Authorizer], &[schema::AddressList]),
        report: &mut Report<'_>,
    ) -> Checked<Self> {
        let (jwt, sigv4, groups, authorizers, lists) = written;
        let issuers = unique("jwt", jwt.iter().map(|one| &one.name), report);
        let signers = unique("sigv4", sigv4.iter().map(|one| &one.name), report);
        let groups = unique("key_group", groups.iter().map(|one| &one.name), report);
        let authorizers = unique("authorizer", authorizers.iter().map(|one| &one.name), report);
        let lists = unique("address_list", lists.iter().map(|one| &one.name), report);
        Ok(Guards { issuers: issuers?, signers: signers?, groups: groups?, authorizers: authorizers?, lists: lists? })
    }
}

/// The names in a table's `name` keys: speakable, each once.
pub(super) fn unique<'a>(
    table: &str,
    names: impl Iterator<Item = &'a String>,
    report: &mut Report<'_>,
) -> Checked<Vec<String>> {
    let mut taken = HashSet::new();
    let each = names.enumerate().map(|(i, name)| {
        let at = At::default().key(table).index(i).key("name");
        if !speakable(name) {
            let message = format!("'{name}' is no name: 1 to 64 of letters, digits, '-', '_' and '.'");
            return Err(report.refuse(&at, message));
        }
        match taken.insert(name.clone()) {
            true => Ok(name.clone()),
            false => Err(report.refuse(&at, format!("the name '{name}' is taken"))),
        }
    });
    all(each.collect::<Vec<_>>())
}

fn find(at: &At, what: &str, name: &str, known: &[String], report: &mut Report<'_>) -> Checked<usize> {
    match known.iter().position(|one| one == name) {
        Some(id) => Ok(id),
        None => Err(report.unknown(at, what, name, known.iter().map(String::as_str))),
    }
}

/// One behavior's rule.
pub(super) fn rule(at: &At, written: &schema::Rule, guards: &Guards, report: &mut Report<'_>) -> Checked<Rule> {
    nested(at, written, guards, 0, report)
}

fn nested(at: &At, written: &schema::Rule, guards: &Guards, depth: usize, report: &mut Report<'_>) -> Checked<Rule> {
    use schema::Rule as W;
    if depth > DEPTH_MAX {
        return Err(report.refuse(at, format!("rules lie within rules at most {DEPTH_MAX} deep")));
    }
    let mut several = |key: &str, rules: &[W]| {
        let at = at.key(key);
        if rules.is_empty() {
            return Err(report.refuse(&at, "no rule is named"));
        }
        let each = rules.iter().enumerate();
        all(each.map(|(i, one)| nested(&at.index(i), one, guards, depth + 1, report)).collect::<Vec<_>>())
    };
    Ok(match written {
        W::ApiKey => Rule::ApiKey,
        W::Certificate => Rule::Certificate(CertificateRule::default()),
        W::CertificateName(names) if names.is_empty() => {
            return Err(report.refuse_with(
                &at.key("certificate_name"),
                "no name is given",
                "write \"certificate\" for any",
            ));
        }
        W::CertificateName(names) => Rule::Certificate(CertificateRule { names: names.clone() }),
        W::Jwt(NameOr::Name(name)) => {
            let issuer = find(&at.key("jwt"), "jwt", name, &guards.issuers, report)?;
            Rule::Jwt(JwtRule { issuer, scopes: vec![], groups: vec![] })
        }
        W::Jwt(NameOr::Table(rule)) => {
            let issuer = find(&at.key("jwt").key("issuer"), "jwt", &rule.issuer, &guards.issuers, report)?;
            Rule::Jwt(JwtRule { issuer, scopes: rule.scopes.clone(), groups: rule.groups.clone() })
        }
        W::Sigv4(name) => Rule::SigV4(find(&at.key("sigv4"), "sigv4", name, &guards.signers, report)?),
        W::Signed(name) => Rule::Signed(find(&at.key("signed"), "key_group", name, &guards.groups, report)?),
        W::Authorizer(name) => {
            Rule::Authorizer(find(&at.key("authorizer"), "authorizer", name, &guards.authorizers, report)?)
        }
        W::Address(name) => Rule::Address(find(&at.key("address"), "address_list", name, &guards.lists, report)?),
        W::Country(codes) => Rule::Country(countries(&at.key("country"), codes, report)?),
        W::All(rules) => Rule::All(several("all", rules)?),
        W::Any(rules) => Rule::Any(several("any", rules)?),
        W::None(rules) => Rule::Not(several("none", rules)?),
    })
}

fn countries(at: &At, codes: &[String], report: &mut Report<'_>) -> Checked<Vec<[u8; 2]>> {
    if codes.is_empty() {
        return Err(report.refuse(at, "no country is named"));
    }
    let each = codes.iter().enumerate().map(|(i, code)| match <[u8; 2]>::try_from(code.as_bytes()) {
        Ok(two) if two.iter().all(u8::is_ascii_uppercase) => Ok(two),
        _ => Err(report.refuse_with(
            &at.index(i),
            format!("'{code}' is no country"),
            "two capital letters (ISO 3166-1 alpha-2), like \"DE\"",
        )),
    });
    all(each.collect::<Vec<_>>())
}

pub(super) fn identity(at: &At, written: &schema::Identity, report: &mut Report<'_>) -> Checked<Identity> {
    let header = written.header.as_ref().map(|name| report.settable_name(&at.key("header"), name)).transpose();
    let claims = at.key("claims");
    let each =
        written.claims.iter().map(|(name, claim)| Ok((report.settable_name(&claims.key(name), name)?, claim.clone())));
    let claims = all(each.collect::<Vec<_>>());
    Ok(Identity { header: header?, claims: claims? })
}

/// Everything that rules name.
pub(super) fn access(
    written: Written,
    known: &Known,
    functions: &[Function],
    report: &mut Report<'_>,
) -> Checked<Access> {
    let (jwt, sigv4, groups, authorizers, lists) = written;
    let place = |table: &str, i: usize| At::default().key(table).index(i);
    let issuers =
        all(jwt.into_iter().enumerate().map(|(i, one)| issuer(&place("jwt", i), one, report)).collect::<Vec<_>>());
    let signers =
        all(sigv4.into_iter().enumerate().map(|(i, one)| signer(&place("sigv4", i), one, report)).collect::<Vec<_>>());
    let groups = all(groups
        .into_iter()
        .enumerate()
        .map(|(i, one)| group(&place("key_group", i), one, report))
        .collect::<Vec<_>>());
    let authorizers = all(authorizers
        .into_iter()
        .enumerate()
        .map(|(i, one)| authorizer(&place("authorizer", i), one, known, functions, report))
        .collect::<Vec<_>>());
    let lists = all(lists
        .into_iter()
        .enumerate()
        .map(|(i, one)| list(&place("address_list", i), one, report))
        .collect::<Vec<_>>());
    Ok(Access {
        issuers: issuers?,
        signers: signers?,
        key_groups: groups?,
        authorizers: authorizers?,
        address_lists: lists?,
    })
}

fn issuer(at: &At, written: schema::Jwt, report: &mut Report<'_>) -> Checked<Issuer> {
    if written.issuer.is_empty() {
        report.refuse(&at.key("issuer"), "the issuer is empty");
    }
    let jwks = jwks(at, &written, report);
    let each = written.from.iter().enumerate().map(|(i, text)| {
        let at = at.key("from").index(i);
        Ok(match source(&at, text, report)? {
            IdentitySource::Header(name) => TokenFrom::Header(name),
            IdentitySource::Cookie(name) => TokenFrom::Cookie(name),
            IdentitySource::Query(name) => TokenFrom::Query(name),
            IdentitySource::Path | IdentitySource::Method => {
                return Err(report.refuse(&at, "a token is in a header, a cookie or a query parameter"));
            }
        })
    });
    let from = some(&at.key("from"), all(each.collect::<Vec<_>>()), report);
    let algorithms =
        some(&at.key("algorithms"), Ok(written.algorithms.iter().map(|one| algorithm(*one)).collect()), report);
    let refresh = report.positive(&at.key("refresh"), written.refresh.get());
    let timeout = report.positive(&at.key("timeout"), written.timeout.get());
    if written.keep < written.refresh {
        report.refuse(
            &at.key("keep"),
            "keys are kept at least until they are fetched anew: `keep` is less than `refresh`",
        );
    }
    Ok(Issuer {
        name: written.name,
        issuer: written.issuer,
        jwks: jwks?,
        audiences: written.audience,
        token_use: written.token_use.map(|token_use| match token_use {
            schema::TokenUse::Id => TokenUse::Id,
            schema::TokenUse::Access => TokenUse::Access,
        }),
        algorithms: algorithms?,
        groups_claim: written.groups_claim,
        principal_claim: written.principal_claim,
        leeway: written.leeway.get(),
        from: from?,
        refresh: refresh?,
        keep: written.keep.get(),
        timeout: timeout?,
    })
}

fn jwks(at: &At, written: &schema::Jwt, report: &mut Report<'_>) -> Checked<JwksSource> {
    let at = at.key("jwks");
    let text = match &written.jwks {
        Some(text) => text.clone(),
        None => format!("{}/.well-known/jwks.json", written.issuer.trim_end_matches('/')),
    };
    if let Some(path) = text.strip_prefix("file:") {
        let (bytes, _) = report.content(&at, path)?;
        let set = String::from_utf8(bytes.to_vec())
            .ok()
            .filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|set| set["keys"].is_array()));
        return match set {
            Some(set) => Ok(JwksSource::Set(set)),
            None => Err(report.refuse(&at, format!("{path} is no JSON object with a list of \"keys\" (RFC 7517)"))),
        };
    }
    let url = text.parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    });
    match url {
        Some(_) => Ok(JwksSource::Url(text)),
        None => Err(report.refuse_with(
            &at,
            format!("'{text}' is no place for keys"),
            "write jwks = \"https://…\" or \"file:path\"",
        )),
    }
}

fn algorithm(written: schema::JwtAlgorithm) -> JwtAlgorithm {
    use schema::JwtAlgorithm as W;
    match written {
        W::Rs256 => JwtAlgorithm::Rs256,
        W::Rs384 => JwtAlgorithm::Rs384,
        W::Rs512 => JwtAlgorithm::Rs512,
        W::Ps256 => JwtAlgorithm::Ps256,
        W::Es256 => JwtAlgorithm::Es256,
        W::Es384 => JwtAlgorithm::Es384,
        W::EdDSA => JwtAlgorithm::EdDsa,
    }
}

/// "header:NAME", "query:NAME", "cookie:NAME", "path" or "method".
fn source(at: &At, text: &str, report: &mut Report<'_>) -> Checked<IdentitySource> {
    match text.split_once(':') {
        Some(("header", name)) => report.header_name(at, name).map(IdentitySource::Header),
        Some(("query", name)) if !name.is_empty() => Ok(IdentitySource::Query(name.to_owned())),
        Some(("cookie", name)) if !name.is_empty() => Ok(IdentitySource::Cookie(name.to_owned())),
        None if text == "path" => Ok(IdentitySource::Path),
        None if text == "method" => Ok(IdentitySource::Method),
        _ => Err(report.refuse_with(
            at,
            format!("'{text}' names no part of a request"),
            "like \"header:authorization\", \"query:token\" or \"cookie:session\"",
        )),
    }
}

/// A list that is not empty.
fn some<T>(at: &At, list: Checked<Vec<T>>, report: &mut Report<'_>) -> Checked<Vec<T>> {
    match list? {
        list if list.is_empty() => Err(report.refuse(at, "the list is empty")),
        list => Ok(list),
    }
}

fn signer(at: &At, written: schema::Sigv4, report: &mut Report<'_>) -> Checked<Signer> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if !plain(&written.service) {
        report.refuse(&at.key("service"), "a service is a word like \"execute-api\"");
    }
    for (i, region) in written.regions.iter().enumerate().filter(|(_, region)| !plain(region)) {
        report.refuse(&at.key("regions").index(i), format!("'{region}' is no region"));
    }
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
        resource: written.resource,
    })
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

fn policy(at: &At, path: &str, report: &mut Report<'_>) -> Checked<Policy> {
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

fn group(at: &At, written: schema::KeyGroup, report: &mut Report<'_>) -> Checked<KeyGroup> {
    let each = written.key.into_iter().enumerate().map(|(i, key)| {
        let at = at.key("key").index(i);
        if key.id.is_empty() || !key.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            report.refuse(&at.key("id"), format!("'{}' is no key pair id: letters and digits", key.id));
        }
        let (bytes, _) = report.content(&at.key("file"), &key.file)?;
        match String::from_utf8(bytes.to_vec()) {
            Ok(pem) if pem.contains("-----BEGIN ") && !pem.contains("PRIVATE KEY-----") => Ok((key.id, pem)),
            Ok(pem) if pem.contains("PRIVATE KEY-----") => {
                Err(report.refuse(&at.key("file"), format!("{} is a private key: name the public one", key.file)))
            }
            _ => Err(report.refuse(&at.key("file"), format!("{} is no PEM file", key.file))),
        }
    });
    let keys = some(&at.key("key"), all(each.collect::<Vec<_>>()), report);
    Ok(KeyGroup { name: written.name, keys: keys? })
}

fn authorizer(
    at: &At,
    written: schema::Authorizer,
    known: &Known,
    functions: &[Function],
    report: &mut Report<'_>,
) -> Checked<Authorizer> {
    let function = known.function(&at.key("function"), &written.function, report);
    let sources = at.key("identity");
    let each = written.identity.iter().enumerate().map(|(i, text)| source(&sources.index(i), text, report));
    let identity = all(each.collect::<Vec<_>>());
    let kind = match written.kind {
        schema::AuthorizerKind::Token => AuthorizerKind::Token,
        schema::AuthorizerKind::Request => AuthorizerKind::Request1,
        schema::AuthorizerKind::Request2 => AuthorizerKind::Request2,
    };
    if let Ok(identity) = &identity {
        if kind == AuthorizerKind::Token && !matches!(identity[..], [IdentitySource::Header(_)]) {
            report.refuse(&sources, "a token authorizer has one source: a header");
        }
        if identity.is_empty() && !written.ttl.get().is_zero() {
            report.refuse_with(&sources, "answers are kept by nothing", "name a source, or write ttl = \"0s\"");
        }
    }
    let entries = report.positive(&at.key("entries"), written.entries);
    let function = function?;
    let known = functions.get(function);
    Ok(Authorizer {
        name: written.name,
        function,
        kind,
        identity: identity?,
        ttl: written.ttl.get(),
        entries: entries?,
        cpu: known.map_or(std::time::Duration::from_millis(50), |function| function.cpu),
        timeout: known.map_or(std::time::Duration::from_secs(5), |function| function.timeout),
        resource: written.resource,
    })
}

fn list(at: &At, written: schema::AddressList, report: &mut Report<'_>) -> Checked<AddressList> {
    let each = written.nets.iter().enumerate().map(|(i, text)| {
        net(text)
            .ok_or_else(|| report.refuse(&at.key("nets").index(i), format!("'{text}' is no network and no address")))
    });
    let mut nets = all(each.collect::<Vec<_>>())?;
    let mut file = None;
    if let Some(path) = &written.file {
        let at = at.key("file");
        let (bytes, _) = report.content(&at, path)?;
        let text = String::from_utf8_lossy(&bytes);
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match net(line) {
                Some(net) => nets.push(net),
                None => {
                    let message = format!("{path}:{}: '{line}' is no network and no address", i + 1);
                    return Err(report.refuse(&at, message));
                }
            }
        }
        file = Some(report.path(path));
    }
    Ok(AddressList { name: written.name, nets: Arc::new(nets), file })
}

/// "192.0.2.0/24", or one address.
fn net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}
