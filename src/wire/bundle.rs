//! Files that go with a job, and those that come back: a line that says so, then a tar archive.

use bytes::Bytes;

/// What a bundle begins with.
pub const MAGIC: &[u8] = b"faasm-files 1\n";
/// The member that is no file: what rank 0 reads as stdin. It goes last: other ranks get what is
/// before it.
pub const STDIN: &str = ".stdin";
/// The member that is no file either: what `getenv` tells ranks, each as `NAME=value` with a NUL.
pub const ENVIRONMENT: &str = ".environment";
/// Most bytes of that.
pub const MAX_ENVIRONMENT: usize = 64 << 10;
/// What a file takes in an archive beside its content and a long name, at most.
pub const COST: u64 = 2 * BLOCK as u64;
/// Most files of a bundle.
pub const MAX_FILES: usize = 10_000;
/// Longest path of a file, in bytes.
pub const MAX_PATH: usize = 1024;
const BLOCK: usize = 512;

/// A path without `.` and doubled slashes, `..` resolved; never above the root. `None` when it is too
/// long or no text of a path.
pub fn normal(path: &str) -> Option<String> {
    if path.len() > MAX_PATH || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Adds a file to an archive that is being made.
pub fn append(archive: &mut Vec<u8>, path: &str, content: &[u8]) {
    if path.len() > 100 {
        member(archive, b"././@LongLink", b'L', path.as_bytes());
    }
    member(archive, path.as_bytes(), b'0', content);
}

/// The texts of an environment, those that are none left out.
pub fn environment(content: &[u8]) -> Vec<String> {
    let content = content.get(..content.len().min(MAX_ENVIRONMENT)).unwrap_or_default();
    let texts = content.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    texts.filter(|text| text.find('=').is_some_and(|at| at > 0)).map(str::to_owned).collect()
}

/// Ends an archive.
pub fn finish(archive: &mut Vec<u8>) {
    archive.extend_from_slice(&[0; 2 * BLOCK]);
}

fn member(archive: &mut Vec<u8>, name: &[u8], kind: u8, content: &[u8]) {
    let mut head = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(field) = head.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    put(0, name.get(..name.len().min(100)).unwrap_or_default());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(field) = head.get_mut(148..156) {
        field.copy_from_slice(sum.as_bytes());
    }
    archive.extend_from_slice(&head);
    archive.extend_from_slice(content);
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    archive.resize(archive.len() + padding, 0);
}

/// The files of a bundle by their paths, as views of it; what is wrong with it, else. Only files
/// count, and what is not a file is passed over.
pub fn files(bundle: &Bytes) -> Result<Vec<(String, Bytes)>, &'static str> {
    let mut members = Members::of(bundle)?;
    let mut found = Vec::new();
    while let Some((path, content)) = members.next()? {
        found.push((path, content));
        if found.len() > MAX_FILES {
            return Err("it has too many files");
        }
    }
    Ok(found)
}

/// A bundle without what is for rank 0 alone; nothing if these bytes are none.
pub fn before_stdin(bundle: &Bytes) -> Bytes {
    let Ok(mut members) = Members::of(bundle) else { return Bytes::new() };
    loop {
        let at = bundle.len() - members.rest.len();
        match members.next() {
            Ok(Some((path, _))) if path == STDIN => return bundle.slice(..at),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return bundle.clone(),
        }
    }
}

/// What is left to read of a bundle.
struct Members {
    rest: Bytes,
}

impl Members {
    fn of(bundle: &Bytes) -> Result<Self, &'static str> {
        match bundle.strip_prefix(MAGIC) {
            Some(archive) => Ok(Self { rest: bundle.slice_ref(archive) }),
            None => Err("it does not begin as a bundle does"),
        }
    }

    /// The next file.
    fn next(&mut self) -> Result<Option<(String, Bytes)>, &'static str> {
        let mut long = None;
        loop {
            let head = self.rest.get(..BLOCK);
            let Some(head) = head.filter(|head| head.iter().any(|byte| *byte != 0)) else {
                return Ok(None);
            };
            let len =
                octal(head.get(124..136).unwrap_or_default()).ok_or("a member has no size")?;
            let (kind, name) = (head.get(156).copied().unwrap_or_default(), name_of(head));
            let end = BLOCK.checked_add(len).filter(|end| *end <= self.rest.len());
            let content = self.rest.slice(BLOCK..end.ok_or("it is cut short")?);
            let next = (BLOCK + content.len()).next_multiple_of(BLOCK).min(self.rest.len());
            self.rest = self.rest.slice(next..);
            match kind {
                b'L' => long = Some(text(&content)),
                b'0' | 0 => {
                    let path = normal(&long.take().unwrap_or(name)).filter(|path| !path.is_empty());
                    return Ok(Some((path.ok_or("a path cannot be")?, content)));
                }
                _ => long = None,
            }
        }
    }
}

fn name_of(head: &[u8]) -> String {
    let name = text(head.get(..100).unwrap_or_default());
    let prefix = match head.get(257..263) {
        Some(b"ustar\0") => text(head.get(345..500).unwrap_or_default()),
        _ => String::new(),
    };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn octal(bytes: &[u8]) -> Option<usize> {
    let digits = text(bytes);
    usize::from_str_radix(digits.trim_matches(' '), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out() {
        let long = format!("{}/file", "folder".repeat(30));
        let mut bundle = MAGIC.to_vec();
        for (path, content) in [("in.lj", &b"a"[..]), ("pots/./../x", &[7; 1000]), (&long, b"")] {
            append(&mut bundle, path, content);
        }
        finish(&mut bundle);
        let bundle = Bytes::from(bundle);
        let found = files(&bundle).unwrap();
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["in.lj", "x", &long]);
        assert_eq!(found[1].1, vec![7; 1000]);
        assert_eq!(before_stdin(&bundle), bundle);
        assert!(before_stdin(&Bytes::from_static(b"typed")).is_empty());
        let mut typed = bundle.slice(..bundle.len() - 2 * BLOCK).to_vec();
        append(&mut typed, STDIN, b"typed");
        assert_eq!(files(&before_stdin(&Bytes::from(typed))).unwrap().len(), 3);
        for end in (MAGIC.len() + 1..bundle.len()).step_by(97) {
            // Whatever it gives, it ends.
            let _ = files(&bundle.slice(..end));
        }
    }

    #[test]
    fn an_environment_is_its_texts_and_nothing_else() {
        let content = b"A=1\0B=x=y\0=none\0none\0\xff=1\0C=\0";
        assert_eq!(environment(content), ["A=1", "B=x=y", "C="]);
        assert!(environment(&vec![b'='; MAX_ENVIRONMENT + 1]).is_empty());
    }

    #[test]
    fn paths_stay_below_the_root() {
        assert_eq!(normal("/../../a//b/./c/..").unwrap(), "a/b");
        assert_eq!(normal("..").unwrap(), "");
        assert_eq!(normal("a\0b"), None);
        assert_eq!(normal(&"a".repeat(MAX_PATH + 1)), None);
    }
}
