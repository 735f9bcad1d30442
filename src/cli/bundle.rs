//! The files that go with a job, and those that it leaves.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::exit::CliError;
use crate::files::MAX_BLOB;
use crate::wire::bundle;

/// The input of a job: files and folders of this machine by the paths they are named by, then
/// stdin. Without files it is stdin as it is.
pub fn input(paths: &[PathBuf], stdin: Vec<u8>) -> Result<Vec<u8>, CliError> {
    if paths.is_empty() {
        return Ok(stdin);
    }
    let mut archive = bundle::MAGIC.to_vec();
    for path in paths {
        add(&mut archive, path)?;
    }
    if !stdin.is_empty() {
        bundle::append(&mut archive, bundle::STDIN, &stdin);
    }
    bundle::finish(&mut archive);
    Ok(archive)
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
        let input = input(&[from.join("sub")], b"typed".to_vec()).unwrap();
        let to = dir.path().join("back");
        assert_eq!(save(input, &to).unwrap(), 2);
        assert_eq!(std::fs::read(to.join("a")).unwrap(), b"1");
        assert_eq!(save(b"plain".to_vec(), &to).unwrap(), 0);
        assert_eq!(name_of(Path::new("./pots/a")), "./pots/a");
        assert_eq!(name_of(Path::new("../pots/a")), "a");
    }
}
