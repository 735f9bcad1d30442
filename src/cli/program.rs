//! The program of `faasm mpirun`: a function that is registered, or a module on this machine, which
//! is registered under its file's name if it is not yet.

use std::path::Path;
use std::str::FromStr;

use super::client::{Ask, Client};
use super::exit::{CliError, Exit};
use super::functions::UPLOAD;
use crate::files::MAX_BLOB;
use crate::gateway::user_view::WhoamiView;
use crate::gateway::view::{FunctionView, FunctionsView};
use crate::id::{BlobHash, FunctionKey, MAX_NAME_LEN};

/// The limits that a program gets, which nobody set: what a machine would give it.
const LIMITS: &str = "memory=4294967296&log=67108864&run_time=86400000ms";
/// What every module begins with.
const MAGIC: &[u8] = b"\0asm";

/// The function that `program` names. A path that exists is a module, all else is USER/NAME.
pub fn function(client: &Client, program: &str) -> Result<FunctionKey, CliError> {
    let path = Path::new(program);
    if path.is_file() {
        return register(client, path);
    }
    FunctionKey::from_str(program).map_err(|error| {
        let message = format!("{program} is neither a file nor a function: {error}");
        CliError::new(Exit::Usage, message)
    })
}

fn register(client: &Client, path: &Path) -> Result<FunctionKey, CliError> {
    let failed = |error| CliError::file(path, &error);
    let module = std::fs::read(path).map_err(failed)?;
    if !module.starts_with(MAGIC) {
        let message =
            format!("{} is no WebAssembly module: compile it with faasm-mpicc", path.display());
        return Err(CliError::local(message));
    }
    if module.len() as u64 > MAX_BLOB {
        let message = format!("{}: larger than {MAX_BLOB} bytes", path.display());
        return Err(CliError::local(message));
    }
    let user: WhoamiView = client.json(Ask::get("/v1/whoami"))?;
    let key = FunctionKey::new(&user.user, &name_of(path));
    let key = key.map_err(|error| CliError::local(error.to_string()))?;
    let known: FunctionsView =
        client.json(Ask::get(&format!("/v1/functions?user={}", key.user)))?;
    let hash = BlobHash::of(&module).to_string();
    let is_it =
        |function: &FunctionView| function.function == key.to_string() && function.hash == hash;
    if !known.functions.iter().any(is_it) {
        let path = format!("/v1/functions/{key}?{LIMITS}");
        let ask = Ask { method: "PUT", path: &path, body: &module, within: UPLOAD };
        let _: FunctionView = client.json(ask)?;
    }
    Ok(key)
}

/// A name made of the file's, without what ends it and what no name may have.
fn name_of(path: &Path) -> String {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = file.strip_suffix(".wasm").unwrap_or(&file).trim_start_matches('.');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = stem.chars().map(|c| if allowed(c) { c } else { '_' });
    let name: String = name.take(MAX_NAME_LEN).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_becomes_a_functions() {
        for (path, name) in [
            ("./jacobi.wasm", "jacobi"),
            ("/a/b/cg.S.x", "cg.S.x"),
            ("pro gram", "pro_gram"),
            (".wasm", "program"),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path}");
        }
    }
}
