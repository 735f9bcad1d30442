//! The files that the ranks of a job wrote, as one archive: the job's output. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::wire::bundle;

/// Puts what ranks left together: the files of all by their names. Where ranks wrote different files
/// of one name, that of the lowest rank keeps it, and the others get their rank at its end. Rank 0
/// may have an output that is no archive, which is the job's then. With it comes what had no place
/// in `most` bytes, for people.
pub fn merge(outputs: Vec<(u32, Bytes)>, most: u64) -> (Bytes, Option<String>) {
    let mut outputs: Vec<_> = outputs.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let first = outputs.first().filter(|(rank, _)| *rank == 0).map(|(_, bytes)| bytes.clone());
    if outputs.len() <= 1 && (first.is_some() || outputs.is_empty()) {
        return (first.unwrap_or_default(), None);
    }
    if let Some(first) = first.filter(|first| bundle::files(first).is_err()) {
        let why = "files of ranks other than 0 are lost: rank 0 made an output that is no file";
        return (first, Some(why.to_owned()));
    }
    let (mut files, mut lost) = (BTreeMap::<String, Bytes>::new(), 0);
    let mut size = 0;
    for (rank, output) in outputs.drain(..) {
        for (name, content) in bundle::files(&output).unwrap_or_default() {
            if files.get(&name) == Some(&content) {
                continue;
            }
            size += content.len() as u64 + bundle::COST;
            if size > most || files.len() >= bundle::MAX_FILES {
                lost += 1;
                continue;
            }
            match files.contains_key(&name) {
                true => files.insert(format!("{name}.rank{rank}"), content),
                false => files.insert(name, content),
            };
        }
    }
    let mut archive = bundle::MAGIC.to_vec();
    files.iter().for_each(|(name, content)| bundle::append(&mut archive, name, content));
    bundle::finish(&mut archive);
    let says = (lost > 0).then(|| {
        format!("{lost} files of ranks are lost: all are more than the {most} bytes of an output")
    });
    (archive.into(), says)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Bytes {
        let mut archive = bundle::MAGIC.to_vec();
        of.iter().for_each(|(name, text)| bundle::append(&mut archive, name, text.as_bytes()));
        bundle::finish(&mut archive);
        archive.into()
    }

    fn names(archive: &Bytes) -> Vec<(String, String)> {
        let found = bundle::files(archive).unwrap();
        found.into_iter().map(|(n, c)| (n, String::from_utf8(c.to_vec()).unwrap())).collect()
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn files_of_all_ranks_keep_their_names_or_get_their_rank() {
        let outputs = vec![
            (0, files(&[("out", "0"), ("same", "s")])),
            (1, Bytes::new()),
            (2, files(&[("out", "2"), ("same", "s"), ("a/b", "own")])),
        ];
        let (all, lost) = merge(outputs, 1 << 20);
        assert_eq!(lost, None);
        let due = [pair("a/b", "own"), pair("out", "0"), pair("out.rank2", "2"), pair("same", "s")];
        assert_eq!(names(&all), due);
        let (all, _) = merge(vec![(1, files(&[("x", "1")]))], 1 << 20);
        assert_eq!(names(&all), [pair("x", "1")]);
    }

    #[test]
    fn an_output_of_rank_0_is_the_jobs_and_what_is_too_much_is_told() {
        assert_eq!(merge(Vec::new(), 9), (Bytes::new(), None));
        let plain = Bytes::from_static(b"plain");
        assert_eq!(merge(vec![(0, plain.clone()), (1, Bytes::new())], 9), (plain.clone(), None));
        let (output, lost) = merge(vec![(0, plain.clone()), (1, files(&[("x", "1")]))], 9);
        assert!(output == plain && lost.is_some());
        let long = "l".repeat(5_000);
        let (all, lost) =
            merge(vec![(0, files(&[("a", "1")])), (1, files(&[("b", &long)]))], 4_000);
        assert_eq!(names(&all), [pair("a", "1")]);
        assert!(lost.unwrap().starts_with("1 files"));
    }
}
