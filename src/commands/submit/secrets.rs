//! Secrets and variables as they are typed: values come from the environment or standard input, never from the command line.

use std::{io::Read, path::Path};

use crate::{
    environment::Environment,
    error::{Error, Result},
    model::launch_plan::{Redacted, Secret, SecretSource},
};

/// The most that is read as a secret: etcd takes 1 MiB with everything around it.
const LONGEST: u64 = 512 << 10;

/// Returns the secrets of `--secret NAME` and `--secret NAME=SECRET/KEY`.
pub fn parse(typed: &[String], environment: &Environment) -> Result<Vec<Secret>> {
    let mut secrets: Vec<Secret> = Vec::new();
    for text in typed {
        let (name, reference) = text.split_once('=').map_or((text.as_str(), None), |(name, reference)| (name, Some(reference)));
        check_name(name)?;
        if secrets.iter().any(|known| known.name == name) {
            return Err(Error::usage(format!("`--secret {name}` is given twice")));
        }
        let source = match reference {
            Some(reference) => refer(name, reference)?,
            None => SecretSource::Value(Redacted(read(name, environment, &secrets)?)),
        };
        secrets.push(Secret { name: name.to_owned(), source });
    }
    Ok(secrets)
}

fn check_name(name: &str) -> Result<()> {
    let valid = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if valid {
        Ok(())
    } else {
        Err(Error::usage(format!("--secret: `{name}` is no name of a variable")).hinted("letters, digits and underscores, such as `API_TOKEN`"))
    }
}

/// Returns the reference `SECRET/KEY`. What is not one is not repeated: it may be a value typed by mistake.
fn refer(name: &str, reference: &str) -> Result<SecretSource> {
    let parts = reference.split_once('/').filter(|(secret, key)| !secret.is_empty() && !key.is_empty() && !key.contains('/'));
    let Some((secret, key)) = parts else {
        return Err(Error::usage(format!("--secret {name}=…: after `=` stands an existing Secret and its key, as SECRET/KEY"))
            .hinted(format!("a value does not belong on a command line: set the variable {name} and pass `--secret {name}`")));
    };
    Ok(SecretSource::Reference { secret: secret.to_owned(), key: key.to_owned() })
}

/// Returns a value from the variable of that name, else all of standard input.
fn read(name: &str, environment: &Environment, known: &[Secret]) -> Result<String> {
    if let Some(value) = environment.variables.get(name) {
        return Ok(value.clone());
    }
    let from_input = |secret: &Secret| matches!(secret.source, SecretSource::Value(_)) && !environment.variables.contains_key(&secret.name);
    if environment.stdin_is_terminal || known.iter().any(from_input) {
        return Err(Error::usage(format!("there is no value for the secret `{name}`"))
            .hinted(format!("set the variable {name}, or give the value on standard input")));
    }
    let mut value = String::new();
    let read = std::io::stdin().take(LONGEST + 1).read_to_string(&mut value);
    read.map_err(|error| Error::usage(format!("cannot read the secret `{name}` from standard input")).caused_by(error))?;
    if value.len() as u64 > LONGEST {
        return Err(Error::usage(format!("the secret `{name}` is longer than {LONGEST} bytes")));
    }
    let value = value.strip_suffix('\n').unwrap_or(&value).to_owned();
    if value.is_empty() {
        return Err(Error::usage(format!("there is no value for the secret `{name}`: the variable is not set and standard input is empty")));
    }
    Ok(value)
}

/// Returns the lines NAME=VALUE of a file; empty lines and comments are passed over, quotes around a value are taken off.
pub fn read_env_file(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::usage(format!("cannot read `{}`", path.display())).caused_by(error))?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Error::usage(format!("`{}` line {} is no NAME=VALUE", path.display(), index + 1)));
        };
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        lines.push(format!("{}={}", name.trim(), quoted.unwrap_or(value)));
    }
    Ok(lines)
}

/// Returns whether a variable's name says that its value is a secret.
#[must_use]
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "passw", "credential"].iter().any(|word| name.contains(word)) || name.ends_with("key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_the_environment_and_references_from_the_cluster() {
        let environment = Environment { variables: [("TOKEN".to_owned(), "t".to_owned())].into(), stdin_is_terminal: true, ..Environment::default() };
        let secrets = parse(&["TOKEN".to_owned(), "KEY=api/key".to_owned()], &environment).unwrap();
        assert_eq!(secrets[0].source, SecretSource::Value(Redacted("t".into())));
        assert_eq!(secrets[1].source, SecretSource::Reference { secret: "api".into(), key: "key".into() });
        let wrong = parse(&["TOKEN=hunter2".to_owned()], &environment).unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter2"), "a value typed by mistake is not repeated");
        for bad in ["MISSING", "1A", "A=b/", "A=/b", ""] {
            assert!(parse(&[bad.to_owned()], &environment).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_of_variables() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "# comment\nA=1\nexport B=\"two words\"\n\nC='x=y'\n").unwrap();
        assert_eq!(read_env_file(file.path()).unwrap(), ["A=1", "B=two words", "C=x=y"]);
        std::fs::write(&file, "nonsense\n").unwrap();
        assert!(read_env_file(file.path()).is_err());
    }
}
