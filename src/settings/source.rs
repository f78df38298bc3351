//! Where settings come from: defaults, file, environment; later wins.
//!
//! Unknown keys are looked for in each source by itself, because only there it is known who gave them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};

use super::problem::{self, Origin, SettingsError};
use super::{Settings, aliases};

/// The file that is read if it exists.
const USUAL_FILE: &str = "config/klatsch.toml";

/// What all environment variables of ours begin with.
const PREFIX: &str = "KLATSCH_";

/// The filter of the log; read by `telemetry`, which may need it before there are settings.
const LOG_FILTER: &str = "KLATSCH_LOG";

/// Keys whose values are paths.
const PATHS: [&str; 3] = ["data_dir", "http.tls_certificate", "http.tls_key"];

/// Values under their dotted keys, with the variable that gave each.
type Given = BTreeMap<String, (String, Value)>;

/// Reads everything and checks it.
pub(super) fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let known = Known::new();
    let (path, from_file) = read_file(file)?;
    known.check(&from_file, &path)?;
    let variables = readable(environment)?;
    let mut given = known.read_variables(&variables)?;
    for (variable, key, text) in aliases::read(&variables) {
        if find(&from_file, key).is_none() && !given.contains_key(key) {
            given.insert(key.to_owned(), (variable, known.typed(key, &text)));
        }
    }

    let mut from_environment = Dict::new();
    for (key, (_, value)) in &given {
        insert(&mut from_environment, key, value.clone());
    }
    let origin = |key: &str| match given.get(key) {
        Some((variable, _)) => Origin::Variable(variable.clone()),
        None if find(&from_file, key).is_some() => Origin::File(path.clone()),
        None => Origin::Default,
    };
    let settings: Settings = Figment::from(Serialized::defaults(&known.0))
        .merge(Serialized::defaults(&from_file))
        .merge(Serialized::defaults(&from_environment))
        .extract()
        .map_err(|error| {
            let named = error.path.iter().filter(|part| part.parse::<usize>().is_err());
            let key = named.cloned().collect::<Vec<_>>().join(".");
            let origin = origin(&key);
            problem::bad_value(key, origin, &error.kind)
        })?;
    match settings.contradiction() {
        None => Ok(settings),
        Some((key, allowed, found)) => {
            Err(problem::unfit(key.to_owned(), origin(key), allowed, &found))
        }
    }
}

/// The variables that are text; one of ours must be.
fn readable(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut variables = BTreeMap::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => {
                variables.insert(name, value);
            }
            Err(_) if name.starts_with(PREFIX) => {
                let key = key_of(&name).unwrap_or_default();
                let origin = Origin::Variable(name);
                return Err(problem::unfit(key, origin, "text in UTF-8".to_owned(), ""));
            }
            Err(_) => {}
        }
    }
    Ok(variables)
}

/// The key that a variable stands for, if it is one of ours.
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(PREFIX)?;
    Some(name.to_ascii_lowercase().replacen("__", ".", 1))
}

/// The file's path and what it says; a usual file that is missing says nothing.
fn read_file(named: Option<&Path>) -> Result<(PathBuf, Dict), SettingsError> {
    let file = named.unwrap_or(Path::new(USUAL_FILE)).to_owned();
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => String::new(),
        Err(source) => return Err(SettingsError::Unreadable { file, source }),
    };
    match Toml::from_str::<Dict>(&text) {
        Ok(values) => Ok((file, values)),
        Err(error) => {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            let problem = format!("line {line}: {}", error.message().replace('\n', ", "));
            Err(SettingsError::Syntax { file, problem })
        }
    }
}

/// The defaults as a tree: what keys there are, and of what kind.
struct Known(Dict);

impl Known {
    fn new() -> Self {
        let tree = Value::serialize(Settings::default()).ok().and_then(Value::into_dict);
        Self(tree.expect("settings are a struct of plain values"))
    }

    /// Refuses a key of the file that nothing is called by.
    fn check(&self, values: &Dict, file: &Path) -> Result<(), SettingsError> {
        let unknown = |key: String| self.unknown(key, Origin::File(file.to_owned()));
        for (name, value) in values {
            match (self.0.get(name), value) {
                (None, _) => return Err(unknown(name.clone())),
                (Some(Value::Dict(_, section)), Value::Dict(_, values)) => {
                    if let Some(key) = values.keys().find(|key| !section.contains_key(*key)) {
                        return Err(unknown(format!("{name}.{key}")));
                    }
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    /// The variables that begin with our prefix, under their keys.
    fn read_variables(&self, variables: &BTreeMap<String, String>) -> Result<Given, SettingsError> {
        let mut given = Given::new();
        for (variable, text) in variables {
            let Some(key) = key_of(variable).filter(|_| variable != LOG_FILTER) else { continue };
            match find(&self.0, &key) {
                None | Some(Value::Dict(..)) => {
                    return Err(self.unknown(key, Origin::Variable(variable.clone())));
                }
                Some(_) => given.insert(key.clone(), (variable.clone(), self.typed(&key, text))),
            };
        }
        Ok(given)
    }

    /// Text as the kind of value that the key's default is; what cannot be read stays text and is refused later.
    fn typed(&self, key: &str, text: &str) -> Value {
        // The name of a file may begin or end with blanks.
        let text = if PATHS.contains(&key) { text } else { text.trim() };
        match find(&self.0, key) {
            Some(Value::Bool(..)) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Value::from(true),
                "false" | "0" | "no" | "off" => Value::from(false),
                _ => Value::from(text),
            },
            Some(Value::Num(..)) => {
                text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
            }
            Some(Value::Array(_, usual)) => {
                let are_numbers = matches!(usual.first(), Some(Value::Num(..)));
                let typed = |item: &str| match item.parse::<i64>() {
                    Ok(number) if are_numbers => Value::from(number),
                    _ => Value::from(item),
                };
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::from(items.map(typed).collect::<Vec<_>>())
            }
            _ => Value::from(text),
        }
    }

    /// Names the nearest known key, and those of the section that was meant.
    fn unknown(&self, key: String, origin: Origin) -> SettingsError {
        let nearest = self
            .keys()
            .into_iter()
            .map(|known| {
                (
                    strsim::damerau_levenshtein(&known.replace('.', "_"), &key.replace('.', "_")),
                    known,
                )
            })
            .min()
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
            .map(|(_, known)| match origin {
                Origin::Variable(_) => variable_name(&known),
                _ => known,
            });
        let section = key.split_once('.').and_then(|(section, _)| self.0.get(section)?.as_dict());
        let known: Vec<_> = section.unwrap_or(&self.0).keys().map(String::as_str).collect();
        let known = known.join(", ");
        let hint = match nearest {
            Some(nearest) => format!("; did you mean {nearest}? Known here: {known}"),
            None => format!("; known here: {known}"),
        };
        SettingsError::UnknownKey { key, origin, hint }
    }

    /// All keys, dotted.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (name, value) in &self.0 {
            match value {
                Value::Dict(_, section) => {
                    keys.extend(section.keys().map(|key| format!("{name}.{key}")));
                }
                _ => keys.push(name.clone()),
            }
        }
        keys
    }
}

/// The environment variable of a key.
fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The value under a dotted key.
fn find<'a>(values: &'a Dict, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => values.get(key),
        Some((section, key)) => values.get(section)?.as_dict()?.get(key),
    }
}

/// Puts a value under a dotted key.
fn insert(values: &mut Dict, key: &str, value: Value) {
    let Some((section, key)) = key.split_once('.') else {
        values.insert(key.to_owned(), value);
        return;
    };
    let section = values.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, section) = section {
        section.insert(key.to_owned(), value);
    }
}
