//! The files that go with a job, and those that it leaves.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::exit::{CliError, Exit};
use crate::files::MAX_BLOB;
use crate::wire::bundle;

/// The input of a job: what is in its environment, files and folders of this machine by the paths
/// they are named by, then stdin. Without the first two it is stdin as it is.
pub fn input(
    environment: &[String],
    paths: &[PathBuf],
    stdin: Vec<u8>,
) -> Result<Vec<u8>, CliError> {
    let environment = environment_of(environment)?;
    if paths.is_empty() && environment.is_empty() {
        return Ok(stdin);
    }
    let mut archive = bundle::MAGIC.to_vec();
    if !environment.is_empty() {
        bundle::append(&mut archive, bundle::ENVIRONMENT, &environment);
    }
    for path in paths {
        add(&mut archive, path)?;
    }
    if !stdin.is_empty() {
        bundle::append(&mut archive, bundle::STDIN, &stdin);
    }
    bundle::finish(&mut archive);
    Ok(archive)
}

/// Each `NAME=value`, or `NAME` for the value that it has here.
fn environment_of(given: &[String]) -> Result<Vec<u8>, CliError> {
    let wrong = |message: String| Err(CliError::new(Exit::Usage, message));
    let mut texts = Vec::new();
    for given in given {
        let text = match (given.find('='), std::env::var(given)) {
            (Some(0), _) => return wrong(format!("-x {given}: it has no name before the =")),
            (Some(_), _) => given.clone(),
            (None, Ok(value)) => format!("{given}={value}"),
            (None, Err(error)) => return wrong(format!("-x {given}: {error}")),
        };
        texts.extend_from_slice(text.as_bytes());
        texts.push(0);
    }
    match texts.len() > bundle::MAX_ENVIRONMENT {
        true => wrong(format!("-x: more than {} bytes in all", bundle::MAX_ENVIRONMENT)),
        false => Ok(texts),
    }
}

fn add(archive: &mut Vec<u8>, path: &Path) -> Result<(), CliError> {
    let failed = |error| CliError::file(path, &error);
    let about = std::fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        return entries.iter().try_for_each(|entry| add(archive, entry));
    }
    if !about.is_file() {
        return Ok(());
    }
    if archive.len() as u64 + about.len() > MAX_BLOB {
        let message = format!("{}: all files are larger than {MAX_BLOB} bytes", path.display());
        return Err(CliError::local(message));
    }
    bundle::append(archive, &name_of(path), &std::fs::read(path).map_err(failed)?);
    Ok(())
}

/// Where a rank finds a file: as it is named here, if that is below the working directory; else by
/// its last name alone.
fn name_of(path: &Path) -> String {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let name = match path.components().all(|part| plain(&part)) {
        true => path,
        false => path.file_name().map_or(path, Path::new),
    };
    name.to_string_lossy().into_owned()
}

/// Puts what a job left into a folder; how many files.
pub fn save(output: Vec<u8>, folder: &Path) -> Result<usize, CliError> {
    let Ok(files) = bundle::files(&Bytes::from(output)) else { return Ok(0) };
    let count = files.len();
    for (name, content) in files {
        // Without `..`, so within the folder.
        let path = folder.join(&name);
        let failed = |error| CliError::file(&path, &error);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(failed)?;
        }
        std::fs::write(&path, &content).map_err(failed)?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("run");
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("sub/a"), "1").unwrap();
        let input = input(&[], &[from.join("sub")], b"typed".to_vec()).unwrap();
        let to = dir.path().join("back");
        assert_eq!(save(input, &to).unwrap(), 2);
        assert_eq!(std::fs::read(to.join("a")).unwrap(), b"1");
        assert_eq!(save(b"plain".to_vec(), &to).unwrap(), 0);
        assert_eq!(name_of(Path::new("./pots/a")), "./pots/a");
    }

    #[test]
    fn an_environment_goes_with_its_values() {
        let given = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            input(&texts, &[], b"typed".to_vec())
        };
        let bytes = Bytes::from(given(&["A=1", "B=x y", "PATH"]).unwrap());
        let files = bundle::files(&bytes).unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [bundle::ENVIRONMENT, bundle::STDIN]);
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(bundle::environment(&files[0].1), ["A=1", "B=x y", &path]);
        assert_eq!(given(&[]).unwrap(), b"typed");
        for wrong in ["=1", "NOBODY_SETS_THIS"] {
            assert!(given(&[wrong]).is_err(), "{wrong} was taken");
        }
        assert!(given(&[&format!("A={}", "x".repeat(bundle::MAX_ENVIRONMENT))]).is_err());
    }

    #[test]
    fn files_keep_their_path_below_the_working_directory() {
        assert_eq!(name_of(Path::new("../pots/a")), "a");
    }
}
