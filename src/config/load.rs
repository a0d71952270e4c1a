//! Load: which texts make up one configuration.
//!
//! In: a file, a directory, or a text. Out: the compiled configuration, or everything wrong with it. Never: half of one.

mod adopt;
mod told;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize as _;
use toml::de::DeTable;

use super::compile::compile;
use super::compiled::Config;
use super::diagnose::unknown_names;
use super::error::{ConfigError, Diagnostic, Errors};
use super::reference::schema_json;
use super::schema::File;
use super::source::{Sources, places, prune};
pub use adopt::ADOPTS;
use adopt::Theirs;
use told::{is_echo, told};

/// Bytes of one configuration text.
const MAX_TEXT: u64 = 16 << 20;

/// What helps where a part stands twice.
const IN_BOTH: &str =
    "`rimward deploy --adopt` lets the revision take its place at once; or delete it here before the deploy";

/// One text, and where relative paths in it start.
struct Text {
    name: String,
    text: String,
    base: PathBuf,
    /// Of the first file or directory: a node's own.
    own: bool,
}

/// Reads `path`: a TOML file, or a directory whose *.toml files (not those in directories below it) are read in name order
/// as one: tables appear once, arrays of tables append.
pub fn load(path: &Path) -> Result<Config, Errors> {
    load_together(&[path])
}

/// Reads a node's own file or directory and those of revisions as one configuration, as [`load`] reads each. Relative paths start where
/// their text lies. What is in both is refused, or, where a revision adopts it ([`ADOPTS`]), taken from the revision alone.
pub fn load_together(roots: &[&Path]) -> Result<Config, Errors> {
    let (mut texts, mut own, mut adopts) = (Vec::new(), Vec::new(), false);
    for (position, path) in roots.iter().enumerate() {
        let directory = std::fs::metadata(path).map_err(|source| unreadable(path, source))?.is_dir();
        adopts |= position > 0 && path.join(ADOPTS).is_file();
        let (files, base) = if directory {
            own.push((*path).to_owned());
            (tables_in(path)?, *path)
        } else {
            (vec![(*path).to_owned()], path.parent().unwrap_or_else(|| Path::new("")))
        };
        for file in files {
            let (name, text) = (file.display().to_string(), read(&file)?);
            texts.push(Text { name, text, base: base.to_owned(), own: position == 0 });
            own.push(file);
        }
    }
    let mut config = build(texts, adopts)?;
    config.sources = own.into_iter().chain(std::mem::take(&mut config.sources)).collect();
    Ok(config)
}

/// Reads `text` as the whole configuration, called `name` in messages; relative paths in it start at `base`.
pub fn parse(text: &str, name: &str, base: &Path) -> Result<Config, Errors> {
    build(vec![Text { name: name.to_owned(), text: text.to_owned(), base: base.to_owned(), own: true }], false)
}

/// `adopts`: what is in the own texts and in others as well counts as the others have it.
fn build(texts: Vec<Text>, adopts: bool) -> Result<Config, Errors> {
    let schema = schema_json();
    let mut sources = Sources::default();
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut whole = File::default();
    let (mut theirs, mut covered, mut both) = (Theirs::new(adopts), Vec::new(), Vec::new());
    texts.iter().filter(|text| !text.own).for_each(|text| theirs.take(&text.text));
    for Text { name, text, base, own } in texts {
        let number = sources.add(name, text.clone(), base);
        let (mut table, broken) = DeTable::parse_recoverable(&text);
        if !broken.is_empty() {
            found.extend(broken.iter().map(|error| told(&sources, number, error)));
            continue;
        }
        let mut nodes = places(number, table.get_ref());
        let unknown = unknown_names(&schema, &nodes);
        prune(table.get_mut(), &unknown.iter().map(|u| u.span.clone()).collect());
        for part in if own { theirs.cover(table.get_mut(), &mut nodes) } else { Vec::new() } {
            let message = format!("{} is in the revision as well", part.what);
            let found = sources.point(number, part.span, message, Some(IN_BOTH.to_owned()));
            match adopts {
                true => covered.push(format!("{}:{}: {}", found.file, found.line, part.what)),
                false => both.push(found),
            }
        }
        for (name, file, span) in sources.merge(nodes) {
            found.push(sources.point(file, span, format!("'{name}' is in another file already"), None));
        }
        match File::deserialize(toml::de::Deserializer::from(table)) {
            Ok(file) => join(&mut whole, file),
            // What is missing may be what was misspelt; a list keeps the words that it should not have.
            Err(error) if !unknown.is_empty() && is_echo(&error) => {}
            Err(error) => found.push(told(&sources, number, &error)),
        }
        found.extend(unknown.into_iter().map(|u| sources.point(number, u.span, u.message, u.help)));
    }
    found.extend(both);
    if !found.is_empty() {
        return Err(Errors::of(found));
    }
    let config = compile(whole, &sources)?;
    Ok(Config { covered, texts: Arc::new(sources), ..config })
}

/// Tables that appear twice were reported when their places were merged.
fn join(whole: &mut File, file: File) {
    // Named one by one, so that a new table cannot be forgotten here.
    let File {
        pop,
        listener,
        limits,
        cache,
        origin,
        origin_group,
        behavior,
        function,
        functions,
        registry,
        kv_store,
        local_lambda,
        lambda,
        jwt,
        sigv4,
        key_group,
        authorizer,
        address_list,
        usage_plan,
        api_key,
        rates,
        dynamodb,
        geo,
        dns,
        fleet,
        admin,
        observe,
    } = file;
    whole.pop = whole.pop.take().or(pop);
    whole.limits = whole.limits.take().or(limits);
    whole.cache = whole.cache.take().or(cache);
    whole.functions = whole.functions.take().or(functions);
    whole.admin = whole.admin.take().or(admin);
    whole.observe = whole.observe.take().or(observe);
    whole.listener.extend(listener);
    whole.origin.extend(origin);
    whole.origin_group.extend(origin_group);
    whole.behavior.extend(behavior);
    whole.function.extend(function);
    whole.registry.extend(registry);
    whole.kv_store.extend(kv_store);
    whole.local_lambda = whole.local_lambda.take().or(local_lambda);
    whole.lambda.extend(lambda);
    whole.jwt.extend(jwt);
    whole.sigv4.extend(sigv4);
    whole.key_group.extend(key_group);
    whole.authorizer.extend(authorizer);
    whole.address_list.extend(address_list);
    whole.usage_plan.extend(usage_plan);
    whole.api_key.extend(api_key);
    whole.rates = whole.rates.take().or(rates);
    whole.dynamodb = whole.dynamodb.take().or(dynamodb);
    whole.fleet = whole.fleet.take().or(fleet);
    whole.geo = whole.geo.take().or(geo);
    whole.dns = whole.dns.take().or(dns);
}

/// The *.toml files of a directory in name order; hidden ones (editors' drafts) left out.
fn tables_in(directory: &Path) -> Result<Vec<PathBuf>, Errors> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let path = entry.map_err(|source| unreadable(directory, source))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(ConfigError::Empty { path: directory.to_owned() }.into()),
        false => Ok(files),
    }
}

fn read(path: &Path) -> Result<String, Errors> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|source| unreadable(path, source))?;
    file.take(MAX_TEXT + 1).read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit: MAX_TEXT }.into());
    }
    String::from_utf8(bytes)
        .map_err(|error| unreadable(path, std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

fn unreadable(path: &Path, source: std::io::Error) -> Errors {
    ConfigError::Read { path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod dynamodb_tests;
#[cfg(test)]
mod function_tests;
#[cfg(test)]
mod integration_tests;
#[cfg(test)]
mod lambda_tests;
#[cfg(test)]
mod tests;
