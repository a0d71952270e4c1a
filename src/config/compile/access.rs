//! Access: `access`, `[[jwt]]`, `[[sigv4]]`, `[[key_group]]`, `[[authorizer]]` and `[[address_list]]` become rules.
//!
//! In: schema. Out: compiled, names resolved, secrets read. Never: a request judged, a key fetched.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::function::speakable;
use super::{Checked, Report, all, authorizer, country, signer};
use crate::config::compiled::{
    Access, AddressList, CertificateRule, Identity, IdentitySource, Issuer, JwksSource, JwtAlgorithm, JwtRule,
    KeyGroup, Rule, SignerId, TokenFrom, TokenUse,
};
use crate::config::nets;
use crate::config::schema::{self, NameOr};
use crate::config::source::At;

/// Rules within rules: deeper than anybody can read.
const DEPTH_MAX: usize = 8;

type Written =
    (Vec<schema::Jwt>, Vec<schema::Sigv4>, Vec<schema::KeyGroup>, Vec<schema::Authorizer>, Vec<schema::AddressList>);

type Tables<'a> = (
    &'a [schema::Jwt],
    &'a [schema::Sigv4],
    &'a [schema::KeyGroup],
    &'a [schema::Authorizer],
    &'a [schema::AddressList],
);

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
    pub(super) fn collect(written: Tables<'_>, report: &mut Report<'_>) -> Checked<Self> {
        let (jwt, sigv4, groups, authorizers, lists) = written;
        let issuers = unique("jwt", jwt.iter().map(|one| &one.name), report);
        let signers = unique("sigv4", sigv4.iter().map(|one| &one.name), report);
        let groups = unique("key_group", groups.iter().map(|one| &one.name), report);
        let authorizers = unique("authorizer", authorizers.iter().map(|one| &one.name), report);
        let lists = unique("address_list", lists.iter().map(|one| &one.name), report);
        Ok(Guards { issuers: issuers?, signers: signers?, groups: groups?, authorizers: authorizers?, lists: lists? })
    }

    pub(super) fn signer(&self, at: &At, name: &str, report: &mut Report<'_>) -> Checked<SignerId> {
        find(at, "signer", name, &self.signers, report)
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
        W::AuthorizerKey => Rule::AuthorizerKey,
        W::Certificate => Rule::Certificate(CertificateRule::default()),
        W::CertificateName(names) if names.is_empty() => {
            return Err(report.refuse_with(
                &at.key("certificate_name"),
                "no name is given",
                "write \"certificate\" for any",
            ));
        }
        W::CertificateName(names) => Rule::Certificate(CertificateRule { names: names.clone(), from: None }),
        W::CertificateFrom(path) => {
            let from = Some(authorities(&at.key("certificate_from"), path, report)?);
            Rule::Certificate(CertificateRule { names: Vec::new(), from })
        }
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
    let each = codes.iter().enumerate().map(|(i, code)| {
        country::read(code).ok_or_else(|| {
            let help = match country::meant(code) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => "write an assigned code of ISO 3166-1: two capital letters, like \"DE\"".to_owned(),
            };
            report.refuse_with(&at.index(i), format!("'{code}' is no country"), help)
        })
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
pub(super) fn access(written: Written, asked: authorizer::Asked<'_>, report: &mut Report<'_>) -> Checked<Access> {
    let (jwt, sigv4, groups, authorizers, lists) = written;
    let place = |table: &str, i: usize| At::default().key(table).index(i);
    let issuers =
        all(jwt.into_iter().enumerate().map(|(i, one)| issuer(&place("jwt", i), one, report)).collect::<Vec<_>>());
    let signers = all(sigv4
        .into_iter()
        .enumerate()
        .map(|(i, one)| signer::signer(&place("sigv4", i), one, report))
        .collect::<Vec<_>>());
    let groups = all(groups
        .into_iter()
        .enumerate()
        .map(|(i, one)| group(&place("key_group", i), one, report))
        .collect::<Vec<_>>());
    if let Ok(groups) = &groups {
        refuse_two_of_an_id(groups, report);
    }
    let authorizers = all(authorizers
        .into_iter()
        .enumerate()
        .map(|(i, one)| authorizer::authorizer(&place("authorizer", i), one, asked, report))
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
    let (issuer, at) = (at.key("issuer"), at.key("jwks"));
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
        Some(url) => {
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            let own = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
            if url.scheme_str() == Some("http") && !own {
                let at = if written.jwks.is_some() { &at } else { &issuer };
                report.warn(at, format!("keys come from {text} unprotected: who is on the way can let anybody in"));
            }
            Ok(JwksSource::Url(text))
        }
        None if written.jwks.is_none() => Err(report.refuse_with(
            &issuer,
            format!("'{text}' is no place for keys"),
            "an issuer is a URL: https://…; where it has its keys elsewhere, write jwks = \"https://…\" or \"file:path\"",
        )),
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
pub(super) fn source(at: &At, text: &str, report: &mut Report<'_>) -> Checked<IdentitySource> {
    match text.split_once(':') {
        Some(("header", name)) => report.header_name(at, name).map(IdentitySource::Header),
        Some(("query", name)) if !name.is_empty() => Ok(IdentitySource::Query(name.to_owned())),
        Some(("cookie", name)) if !name.is_empty() => Ok(IdentitySource::Cookie(name.to_owned())),
        None if text == "path" => Ok(IdentitySource::Path),
        None if text == "method" => Ok(IdentitySource::Method),
        _ => Err(report.refuse_with(
            at,
            format!("'{text}' names no part of a request"),
            "like \"header:authorization\", \"query:token\" or \"cookie:session\"; of an authorizer also \"path\" or \"method\"",
        )),
    }
}

/// A list that is not empty.
pub(super) fn some<T>(at: &At, list: Checked<Vec<T>>, report: &mut Report<'_>) -> Checked<Vec<T>> {
    match list? {
        list if list.is_empty() => Err(report.refuse(at, "the list is empty")),
        list => Ok(list),
    }
}

fn group(at: &At, written: schema::KeyGroup, report: &mut Report<'_>) -> Checked<KeyGroup> {
    let mut taken = HashSet::new();
    let each = written.key.into_iter().enumerate().map(|(i, key)| {
        let at = at.key("key").index(i);
        if key.id.is_empty() || !key.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            report.refuse(&at.key("id"), format!("'{}' is no key pair id: letters and digits", key.id));
        }
        if !taken.insert(key.id.clone()) {
            // Only one of them could verify what names it.
            report.refuse(&at.key("id"), format!("the key '{}' is there twice", key.id));
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

/// One id for two keys: whoever signs could not say which one is meant.
fn refuse_two_of_an_id(groups: &[KeyGroup], report: &mut Report<'_>) {
    let mut known: HashMap<&str, (&str, String)> = HashMap::new();
    for (g, group) in groups.iter().enumerate() {
        for (i, (id, pem)) in group.keys.iter().enumerate() {
            let material = material(pem);
            match known.get(id.as_str()) {
                Some((other, theirs)) if *other != group.name && *theirs != material => {
                    let at = At::default().key("key_group").index(g).key("key").index(i).key("id");
                    let message = format!(
                        "the key '{id}' is there twice: the key group '{other}' has another public key under this id"
                    );
                    report.refuse(&at, message);
                }
                Some(_) => {}
                None => drop(known.insert(id, (&group.name, material))),
            }
        }
    }
}

/// What a PEM file says but for its comments and line ends.
fn material(pem: &str) -> String {
    let start = pem.find("-----BEGIN ").unwrap_or(0);
    pem.get(start..).unwrap_or(pem).split_whitespace().collect()
}

/// The public keys of a PEM file's certificates, or why there are none.
pub(super) fn anchors(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let each = CertificateDer::pem_slice_iter(pem).map(|certificate| {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|error| error.to_string())?;
        Ok(anchor.subject_public_key_info.to_vec())
    });
    each.collect()
}

/// What policies call a request: each `$name` has to be one of `names`.
pub(super) fn resource(at: &At, text: String, names: &[&str], report: &mut Report<'_>) -> Checked<String> {
    let unknown = text.split('$').skip(1).find(|piece| !names.iter().any(|name| piece.starts_with(name)));
    if let Some(piece) = unknown {
        let word: String = piece.chars().take_while(char::is_ascii_alphanumeric).collect();
        let known: Vec<String> = names.iter().map(|name| format!("${name}")).collect();
        return Err(report.refuse(at, format!("'${word}' stands for nothing here: {}", known.join(", "))));
    }
    Ok(text)
}

/// The public keys in the file of a rule.
fn authorities(at: &At, path: &str, report: &mut Report<'_>) -> Checked<Vec<Vec<u8>>> {
    let (bytes, _) = report.content(at, path)?;
    match anchors(&bytes) {
        Ok(keys) if keys.is_empty() => Err(report.refuse(at, format!("{path} holds no certificate"))),
        Ok(keys) => Ok(keys),
        Err(reason) => Err(report.refuse(at, format!("{path}: not a usable certificate: {reason}"))),
    }
}

fn list(at: &At, written: schema::AddressList, report: &mut Report<'_>) -> Checked<AddressList> {
    if written.nets.is_none() && written.file.is_none() {
        let help = "write nets = [\"192.0.2.0/24\", …] or file = \"…\"";
        return Err(report.refuse_with(at, "nothing says what is in the list", help));
    }
    let each = written.nets.iter().flatten().enumerate().map(|(i, text)| {
        let at = at.key("nets").index(i);
        let Some(net) = nets::one(text) else {
            let message = format!("'{text}' is neither an address nor a network such as 192.0.2.0/24");
            return Err(report.refuse(&at, message));
        };
        if text.contains('/') && text.parse::<ipnet::IpNet>().is_ok_and(|written| written != net) {
            // A slip of the hand names many more addresses, or fewer, than were meant.
            return Err(report.refuse(&at, format!("'{text}' is an address within {net}: write the one or the other")));
        }
        Ok(net)
    });
    let mut all_nets = all(each.collect::<Vec<_>>())?;
    if all_nets.is_empty() && written.file.is_none() {
        report.warn(&at.key("nets"), format!("the list '{}' names no address", written.name));
    }
    if let Some(path) = &written.file {
        let at = at.key("file");
        let (bytes, _) = report.content(&at, path)?;
        match nets::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(listed) if listed.is_empty() && all_nets.is_empty() => {
                report.warn(&at, format!("the address list '{}' is empty: {path} names no network", written.name));
            }
            Ok(listed) => all_nets.extend(listed),
            Err((line, message)) => return Err(report.refuse(&at, format!("{path}:{line}: {message}"))),
        }
    }
    Ok(AddressList { name: written.name, nets: Arc::new(all_nets) })
}
