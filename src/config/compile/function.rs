//! Function: `[[function]]`, `[[kv_store]]` and a behavior's `hooks` become grants and chains.
//!
//! In: schema. Out: compiled functions, their files found and watched. Never: a function compiled or run.

use std::collections::HashSet;
use std::path::Path;

use super::{Checked, Report, all};
use crate::config::compiled::{
    FetchGrant, FetchHost, Flavor, Function, FunctionId, Functions, Grants, Hook, Hooks, KvBounds, KvGrant, KvStore,
    Mode, OnError, Pop, is_script,
};
use crate::config::error::Diagnostic;
use crate::config::schema;
use crate::config::secret::Secret;
use crate::config::source::At;
use crate::config::units::ByteSize;

/// Files of one function that is a directory: what bundled dependencies have, and not a whole disk.
const FILES_MAX: usize = 20_000;
/// Entries of directories that are looked at for what a TypeScript file may import.
const BESIDE_MAX: usize = 10_000;

/// Names of functions and stores: labels of metrics, parts of paths.
const NAME_MAX: usize = 64;

/// The names that hooks and grants may use.
pub(super) struct Known {
    functions: Vec<String>,
    stores: Vec<String>,
}

// === impl Known ===
impl Known {
    pub(super) fn collect(
        functions: &[schema::Function],
        stores: &[schema::KvStore],
        report: &mut Report<'_>,
    ) -> Checked<Self> {
        let unique = |kind: &str, names: Vec<&String>, report: &mut Report<'_>| {
            let mut taken = HashSet::new();
            let each = names.into_iter().enumerate().map(|(i, name)| {
                let at = At::default().key(kind).index(i).key("name");
                // A dot in a store's name is one too many for AWS's clients.
                if !speakable(name) || kind == "kv_store" && name.contains('.') {
                    let message = format!("'{name}' is no name: 1 to {NAME_MAX} of letters, digits, '-', '_' and '.'");
                    return Err(report.refuse(&at, message));
                }
                match taken.insert(name.clone()) {
                    true => Ok(name.clone()),
                    false => Err(report.refuse(&at, format!("the name '{name}' is taken"))),
                }
            });
            all(each.collect::<Vec<_>>())
        };
        let functions = unique("function", functions.iter().map(|f| &f.name).collect(), report);
        let stores = unique("kv_store", stores.iter().map(|s| &s.name).collect(), report);
        Ok(Known { functions: functions?, stores: stores? })
    }

    pub(super) fn function(&self, at: &At, name: &str, report: &mut Report<'_>) -> Checked<FunctionId> {
        match self.functions.iter().position(|known| known == name) {
            Some(id) => Ok(id),
            None => Err(report.unknown(at, "function", name, self.functions.iter().map(String::as_str))),
        }
    }
}

/// A name that can stand in a path, a header and a metric's label as it is.
pub(super) fn speakable(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.')
}

pub(super) fn engine(written: &schema::Functions, pop: &Pop, report: &mut Report<'_>) -> Checked<Functions> {
    let at = At::default().key("functions");
    let concurrency = report.positive(&at.key("concurrency"), written.concurrency);
    let memory = size(&at.key("memory"), written.memory.get(), report);
    Ok(Functions {
        concurrency: concurrency?,
        memory: memory?,
        artifacts: pop.state_dir.join("functions"),
        images: pop.state_dir.join("functions/oci"),
        records: pop.state_dir.join("records"),
        records_size: written.records.get(),
    })
}

pub(super) fn functions(
    written: Vec<schema::Function>,
    known: &Known,
    largest: u64,
    report: &mut Report<'_>,
) -> Checked<Vec<Function>> {
    let each = written.into_iter().enumerate();
    all(each
        .map(|(i, one)| function(&At::default().key("function").index(i), one, known, largest, report))
        .collect::<Vec<_>>())
}

/// A function as an origin.
pub(super) fn origin(
    at: &At,
    name: &str,
    written: &schema::FunctionOrigin,
    (known, largest): (&Known, u64),
    report: &mut Report<'_>,
) -> Checked<Function> {
    let grants = &written.grants;
    for (key, granted) in [("kv", !grants.kv.is_empty()), ("geo", grants.geo), ("clock", grants.clock)] {
        if granted {
            report.refuse(&at.key("grants").key(key), format!("'{key}' is of no use here: WASI has no such interface"));
        }
    }
    let written = schema::Function {
        name: name.to_owned(),
        file: written.file.clone(),
        flavor: schema::Flavor::Auto,
        mode: schema::Mode::Extended,
        cpu: written.cpu,
        timeout: written.timeout,
        memory: written.memory,
        concurrency: written.concurrency,
        reuse: 1,
        grants: grants.clone(),
        record: crate::config::units::Percent::new(0),
    };
    function(at, written, known, largest, report)
}

fn function(
    at: &At,
    written: schema::Function,
    known: &Known,
    largest: u64,
    report: &mut Report<'_>,
) -> Checked<Function> {
    let file = report.function_file(&at.key("file"), &written.file);
    let cpu = report.positive(&at.key("cpu"), written.cpu.get());
    let timeout = report.positive(&at.key("timeout"), written.timeout.get());
    let memory = match report.written(&at.key("memory")) {
        true if written.memory.get() > largest => {
            let allowed = ByteSize::bytes(largest);
            Err(report.refuse(&at.key("memory"), format!("more than `functions.memory` ({allowed}) allows")))
        }
        true => size(&at.key("memory"), written.memory.get(), report),
        // The default is no more than any function may have.
        false => size(&at.key("memory"), written.memory.get().min(largest), report),
    };
    let concurrency = report.positive(&at.key("concurrency"), written.concurrency);
    let reuse = report.positive(&at.key("reuse"), written.reuse);
    let grants = grants(&at.key("grants"), &written.grants, known, report);
    Ok(Function {
        name: written.name,
        file: file?,
        flavor: match written.flavor {
            schema::Flavor::Auto => Flavor::Auto,
            schema::Flavor::LambdaEdge => Flavor::LambdaEdge,
            schema::Flavor::CloudFront1 => Flavor::CloudFront1,
            schema::Flavor::CloudFront2 => Flavor::CloudFront2,
        },
        mode: match written.mode {
            schema::Mode::Extended => Mode::Extended,
            schema::Mode::Strict => Mode::Strict,
        },
        cpu: cpu?,
        timeout: timeout?,
        memory: memory?,
        concurrency: concurrency?,
        reuse: reuse?,
        grants: grants?,
        record: u32::from(written.record.get()) * 100,
    })
}

/// At least one page of linear memory, at most what 32 bits address.
fn size(at: &At, bytes: u64, report: &mut Report<'_>) -> Checked<usize> {
    if !(64 << 10..=4 << 30).contains(&bytes) {
        return Err(report.refuse(at, "a function's memory is 64KiB to 4GiB"));
    }
    usize::try_from(bytes).map_err(|_| report.refuse(at, "larger than this machine can address"))
}

fn grants(at: &At, written: &schema::Grants, known: &Known, report: &mut Report<'_>) -> Checked<Grants> {
    let secrets = written.secrets.iter().map(|(name, reference)| {
        let secret = report.secret(&at.key("secrets").key(name), &reference.0)?;
        Ok((name.clone(), Secret::new(secret.expose().clone().into_bytes())))
    });
    let secrets = all(secrets.collect::<Vec<_>>());
    let kv = written.kv.iter().enumerate().map(|(i, grant)| match known.stores.contains(&grant.store) {
        true => Ok(KvGrant { store: grant.store.clone(), write: grant.write }),
        false => {
            let stores = known.stores.iter().map(String::as_str);
            Err(report.unknown(&at.key("kv").index(i), "store", &grant.store, stores))
        }
    });
    let kv = all(kv.collect::<Vec<_>>());
    let fetch = written.fetch.as_ref().map(|fetch| fetch_grant(&at.key("fetch"), fetch, report)).transpose();
    Ok(Grants {
        config: written.config.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        secrets: secrets?,
        kv: kv?,
        geo: written.geo,
        clock: written.clock,
        fetch: fetch?,
    })
}

fn fetch_grant(at: &At, written: &schema::Fetch, report: &mut Report<'_>) -> Checked<FetchGrant> {
    let allow = written.allow.iter().enumerate().map(|(i, text)| {
        host(text).ok_or_else(|| {
            let help = "like \"api.example.com\", \"*.example.com\", \"*\" or \"api.test:8080\"";
            report.refuse_with(&at.key("allow").index(i), format!("'{text}' is no host"), help)
        })
    });
    let allow = all(allow.collect::<Vec<_>>());
    let private = written.private.iter().enumerate().map(|(i, text)| {
        let net = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
        net.map_err(|_| {
            report.refuse(&at.key("private").index(i), format!("'{text}' is no network, like \"10.0.0.0/8\""))
        })
    });
    let private = all(private.collect::<Vec<_>>());
    let timeout = report.positive(&at.key("timeout"), written.timeout.get());
    let requests = report.positive(&at.key("requests"), written.requests);
    let body = report.positive(&at.key("body"), written.body.get());
    Ok(FetchGrant {
        allow: allow?,
        private: private?,
        timeout: timeout?,
        requests: requests?,
        body: usize::try_from(body?).unwrap_or(usize::MAX),
    })
}

/// A host pattern with an optional port.
fn host(text: &str) -> Option<FetchHost> {
    if text.starts_with('[') && text.split_once(']').is_none() {
        return None;
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (name, port) = match bare {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':')?)),
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port =
        port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0)).map_or(Some(None), |p| p.map(Some))?;
    let stem = name.strip_prefix("*.").unwrap_or(name);
    let address = bare.is_some() && name.parse::<std::net::Ipv6Addr>().is_ok();
    let letters = |stem: &str| {
        !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let named = bare.is_none() && (name == "*" || letters(stem));
    (named || address).then(|| FetchHost { pattern: name.to_ascii_lowercase(), port })
}

/// The stores, and where the import file of each is named.
pub(super) fn stores(
    written: Vec<schema::KvStore>,
    report: &mut Report<'_>,
) -> Checked<(Vec<KvStore>, Vec<Option<Diagnostic>>)> {
    let each = written.into_iter().enumerate().map(|(i, store)| {
        let at = At::default().key("kv_store").index(i).key("import");
        let import = store.import.map(|path| report.watched(&at, &path)).transpose()?;
        let place = import.as_ref().map(|_| report.sources.find(&at, String::new(), None));
        let bounds = match store.mode {
            schema::Mode::Strict => KvBounds::STRICT,
            schema::Mode::Extended => KvBounds::EXTENDED,
        };
        Ok((KvStore { name: store.name, import, bounds }, place))
    });
    Ok(all(each.collect::<Vec<_>>())?.into_iter().unzip())
}

pub(super) fn hooks(at: &At, written: &schema::Hooks, known: &Known, report: &mut Report<'_>) -> Checked<Hooks> {
    let mut chain = |key: &str, chain: &schema::Chain| {
        let at = at.key(key);
        let many = chain.0.len() > 1;
        let each = chain.0.iter().enumerate().map(|(i, hook)| {
            let at = if many { at.index(i) } else { at.clone() };
            self::hook(&at, hook, known, report)
        });
        all(each.collect::<Vec<_>>())
    };
    let viewer_request = chain("viewer_request", &written.viewer_request);
    let origin_request = chain("origin_request", &written.origin_request);
    let origin_response = chain("origin_response", &written.origin_response);
    let viewer_response = chain("viewer_response", &written.viewer_response);
    Ok(Hooks {
        viewer_request: viewer_request?,
        origin_request: origin_request?,
        origin_response: origin_response?,
        viewer_response: viewer_response?,
    })
}

fn hook(at: &At, written: &schema::Hook, known: &Known, report: &mut Report<'_>) -> Checked<Hook> {
    let function = known.function(at, &written.function, report);
    let cpu = written.cpu.map(|cpu| report.positive(&at.key("cpu"), cpu.get())).transpose();
    let memory = written.memory.map(|bytes| size(&at.key("memory"), bytes.get(), report)).transpose();
    Ok(Hook {
        function: function?,
        on_error: match written.on_error {
            schema::OnError::Fail => OnError::Fail,
            schema::OnError::Skip => OnError::Skip,
        },
        include_body: written.include_body,
        cpu: cpu?,
        memory: memory?,
    })
}

/// The files of a function that is a directory, in the order of their paths; `None` = there are too many.
pub(super) fn files_below(directory: &Path) -> std::io::Result<Option<Vec<std::path::PathBuf>>> {
    let mut open = vec![directory.to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => open.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
            if files.len() + open.len() > FILES_MAX {
                return Ok(None);
            }
        }
    }
    files.sort();
    Ok(Some(files))
}

/// Sources in a file's directory and below it, in the order of their paths: none of packages, nothing hidden, nothing in `but`. The
/// directory may hold more than a function's files: past the bound it is not looked at.
pub(super) fn scripts_beside(file: &Path, but: Option<&Path>) -> Vec<std::path::PathBuf> {
    let mut open: Vec<_> = file.parent().map(Path::to_owned).into_iter().collect();
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            looked += 1;
            if looked > BESIDE_MAX {
                break;
            }
            let (path, name) = (entry.path(), entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    let hidden = name.as_encoded_bytes().starts_with(b".");
                    if !hidden && name != "node_modules" && but != Some(path.as_path()) {
                        open.push(path);
                    }
                }
                Ok(kind) if kind.is_file() && is_script(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_written() {
        for (text, want) in [
            ("api.example", Some(("api.example", None))),
            ("API.example:8080", Some(("api.example", Some(8080)))),
            ("*.example", Some(("*.example", None))),
            ("*", Some(("*", None))),
            ("*:81", Some(("*", Some(81)))),
            ("[::1]:80", Some(("::1", Some(80)))),
            ("[::1]", Some(("::1", None))),
            ("127.0.0.1:9000", Some(("127.0.0.1", Some(9000)))),
            ("", None),
            ("a b", None),
            ("a:0", None),
            ("a:port", None),
            ("https://a", None),
            ("[nope]", None),
            ("a*b", None),
        ] {
            let got = host(text);
            let got = got.as_ref().map(|host| (host.pattern.as_str(), host.port));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn names() {
        for (name, want) in [("a", true), ("a-b_c.d", true), ("", false), (".a", false), ("a/b", false), ("ä", false)]
        {
            assert_eq!(speakable(name), want, "{name}");
        }
    }
}
